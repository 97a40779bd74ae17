import { samples } from "./clip.js";
import { Player } from "./player.js";
import { RATE } from "./sound.js";

/** The editor's Play button: frames of clips as sound, with a playhead on their timeline. */
export class Playback {
  constructor(button) {
    this.button = button;
    this.player = new Player(RATE);
    this.timeline = null;
  }

  get playing() {
    return this.player.playing;
  }

  /** The selection of a timeline that shows frames `refs` of `clips`, or all from its cursor on. */
  play(timeline, refs, clips) {
    this.stop();
    const { start } = timeline, end = timeline.end > start ? timeline.end : refs.length;
    this.timeline = timeline;
    this.player.play(samples(refs.subarray(start, end), clips), () => this.stop());
    this.show("■ Stop", true);
    const follow = () => {
      if (!this.playing) return;
      timeline.playhead = Math.min(end, start + this.player.elapsed * clips[0].rate);
      timeline.draw();
      requestAnimationFrame(follow);
    };
    follow();
  }

  stop() {
    this.player.stop();
    this.show("▶ Play", false);
    if (this.timeline) {
      this.timeline.playhead = null;
      this.timeline.draw();
    }
    this.timeline = null;
  }

  show(text, pressed) {
    this.button.textContent = text;
    this.button.setAttribute("aria-pressed", pressed);
  }

  close() {
    this.timeline = null;
    this.player.close();
  }
}

/** Sounds that play in step, of which one is heard: switching goes on at the same moment, without a gap. */

const FADE = 0.005; // seconds: long enough for a switch, a start or a stop to make no click
const AHEAD = 0.03; // seconds from asking the sound card to hearing

export class ABPlayer {
  /** @param {number} rate samples a second of all sounds */
  constructor(rate) {
    this.rate = rate;
    this.context = null; // made when first used, and given back by `close`
    this.voices = [];
    this.onend = null;
  }

  get playing() {
    return this.voices.length > 0;
  }

  /**
   * Play from the beginning, in place of what plays.
   * @param {Float32Array[]} sounds of one length
   * @param {number} heard which of them
   */
  play(sounds, heard, onend = null) {
    this.stop();
    this.context ??= new AudioContext({ sampleRate: this.rate });
    if (this.context.state === "suspended") this.context.resume?.();
    const begin = this.context.currentTime + AHEAD;
    this.onend = onend;
    this.voices = sounds.map((samples) => {
      const buffer = this.context.createBuffer(1, samples.length, this.rate), gain = this.context.createGain();
      buffer.copyToChannel(samples, 0);
      const source = new AudioBufferSourceNode(this.context, { buffer });
      gain.gain.value = 0;
      source.connect(gain).connect(this.context.destination);
      source.start(begin);
      return { source, gain };
    });
    this.voices[0].source.onended = () => this.ended();
    this.hear(heard);
  }

  /** Hear another of them from now on. */
  hear(heard) {
    this.voices.forEach(({ gain }, i) => this.fade(gain.gain, i === heard ? 1 : 0));
  }

  /** Stop with a fade. */
  stop() {
    for (const { source, gain } of this.voices) {
      source.onended = null;
      this.fade(gain.gain, 0);
      source.stop(this.context.currentTime + FADE);
    }
    this.voices = [];
  }

  /** Give the sound card back. */
  close() {
    this.stop();
    this.context?.close?.();
    this.context = null;
  }

  fade(gain, level) {
    const now = this.context.currentTime, from = gain.value;
    gain.cancelScheduledValues(now);
    gain.setValueAtTime(from, now);
    gain.linearRampToValueAtTime(level, now + FADE);
  }

  ended() {
    this.voices = [];
    this.onend?.();
  }
}

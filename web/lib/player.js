/** Playing sound: a range of samples, or chunks as they arrive, joined sample by sample. */

const FADE = 0.005; // seconds: long enough for a start or a stop to make no click
const AHEAD = 0.03; // seconds from asking the sound card to hearing
const PATIENCE = 300; // milliseconds after the first chunk at which playing begins with whatever there is

/**
 * One player for one rate. The context runs at the sound's own rate: were each chunk resampled by itself, every join would click.
 * It is made when first used, and given back by `close`.
 */
export class Player {
  /**
   * @param {number} rate samples a second
   * @param {() => BaseAudioContext} [makeContext]
   */
  constructor(rate, makeContext = () => new AudioContext({ sampleRate: rate })) {
    this.rate = rate;
    this.makeContext = makeContext;
    this.context = null;
    this.onend = null;
    this.reset();
  }

  get playing() {
    return this.sources.size > 0;
  }

  /** Seconds into what `play` plays, for a playhead. */
  get elapsed() {
    return this.context ? Math.max(0, this.context.currentTime - this.began) : 0;
  }

  /** Play samples once, in place of what plays. */
  play(samples, onend = null) {
    this.stop();
    this.onend = onend;
    this.enqueue(samples);
    this.finish();
  }

  /** The next chunk of a sound that is still being made. Playing begins when there are `lead` seconds of it, or patience ends. */
  enqueue(samples) {
    if (!samples.length) return;
    this.timer ||= setTimeout(() => this.gain || this.pump(true), PATIENCE);
    this.waiting.push(samples);
    this.waitingSeconds += samples.length / this.rate;
    this.pump();
  }

  /** No more chunks will come: play what waits, however short. */
  finish() {
    this.finished = true;
    this.pump();
  }

  /** Stop with a fade, and forget what waits. */
  stop() {
    if (this.context && this.playing) {
      const now = this.context.currentTime, { gain } = this.gain;
      const level = gain.value;
      gain.cancelScheduledValues(now);
      gain.setValueAtTime(level, now);
      gain.linearRampToValueAtTime(0, now + FADE);
      for (const source of this.sources) {
        source.onended = null;
        source.stop(now + FADE);
      }
    }
    this.reset();
  }

  /** Give the sound card back. */
  close() {
    this.stop();
    this.context?.close?.();
    this.context = null;
  }

  reset() {
    clearTimeout(this.timer);
    this.timer = 0;
    this.waiting = [];
    this.waitingSeconds = 0;
    this.sources = new Set();
    this.finished = false;
    this.lead = 0.25; // seconds to have before it begins
    this.next = 0; // context time at which the next chunk begins
    this.began = 0;
    this.gain = null;
  }

  pump(impatient = false) {
    if (!this.waiting.length) return;
    this.context ??= this.makeContext();
    if (this.context.state === "suspended") this.context.resume?.();
    const earliest = this.context.currentTime + AHEAD;
    if (!this.gain || this.next - FADE < this.context.currentTime) {
      // not begun, or run dry: the sampler is slower than speech. Wait for some more, and each time for longer
      if (!this.finished && !impatient && this.waitingSeconds < this.lead) return;
      if (this.gain) this.lead = Math.min(4, 4 * this.lead);
      this.next = Math.ceil(Math.max(this.next, earliest) * this.rate) / this.rate;
      this.gain ??= this.output();
      if (!this.began) this.began = this.next;
      this.gain.gain.setValueAtTime(0, this.next);
      this.gain.gain.linearRampToValueAtTime(1, this.next + FADE);
    } else {
      this.gain.gain.cancelScheduledValues(this.next - FADE); // the end is no end: take its fade back
      this.gain.gain.setValueAtTime(1, this.next - FADE);
    }
    for (const samples of this.waiting) {
      const buffer = this.context.createBuffer(1, samples.length, this.rate);
      buffer.copyToChannel(samples, 0);
      const source = new AudioBufferSourceNode(this.context, { buffer });
      source.connect(this.gain);
      source.start(this.next);
      source.onended = () => this.ended(source);
      this.sources.add(source);
      this.next += samples.length / this.rate;
    }
    this.waiting = [];
    this.waitingSeconds = 0;
    this.gain.gain.setValueAtTime(1, this.next - FADE);
    this.gain.gain.linearRampToValueAtTime(0, this.next);
  }

  output() {
    const gain = this.context.createGain();
    gain.gain.value = 0;
    gain.connect(this.context.destination);
    return gain;
  }

  ended(source) {
    this.sources.delete(source);
    if (this.playing || !this.finished) return;
    const onend = this.onend;
    this.reset();
    onend?.();
  }
}

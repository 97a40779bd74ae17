/** Waveforms: sound boiled down to lowest and highest sample of each block, and drawn from that. */

/** Samples a block: 8 blocks to a frame of 80 ms at 24 kHz. */
export const BLOCK = 240;

/** Lowest and highest sample of each block of a sound that may still grow. */
export class Peaks {
  constructor(block = BLOCK) {
    this.block = block;
    this.clear();
  }

  clear() {
    this.samples = this.loudest = 0;
    this.low = new Float32Array(512);
    this.high = new Float32Array(512);
  }

  get length() {
    return Math.ceil(this.samples / this.block);
  }

  /** @param {Float32Array} more the samples that follow */
  append(more) {
    const needed = Math.ceil((this.samples + more.length) / this.block);
    if (needed > this.low.length) {
      const size = Math.max(needed, 2 * this.low.length);
      for (const name of ["low", "high"]) {
        const grown = new Float32Array(size);
        grown.set(this[name]);
        this[name] = grown;
      }
    }
    for (let i = 0; i < more.length; i++) {
      const at = Math.floor((this.samples + i) / this.block), x = more[i];
      if (x < this.low[at]) this.low[at] = x;
      if (x > this.high[at]) this.high[at] = x;
      if (x > this.loudest) this.loudest = x;
      else if (-x > this.loudest) this.loudest = -x;
    }
    this.samples += more.length;
  }

  /** Furthest from 0 within a block. */
  level(block) {
    return block < 0 || block >= this.length ? 0 : Math.max(this.high[block], -this.low[block]);
  }
}

/**
 * Draw blocks `from`..`to` of a waveform into a box, one line a pixel column.
 * @param {(block: number) => number} source index into `peaks` of a block shown, or -1 for silence
 * @param {number} gain what samples are multiplied by
 */
export function drawWaveform(context, { x, y, width, height }, peaks, from, to, colour, source = (block) => block, gain = 1) {
  const middle = y + height / 2, scale = height / 2, step = (to - from) / width;
  context.fillStyle = colour;
  for (let column = 0; column < width; column++) {
    const first = Math.floor(from + column * step), last = Math.max(first + 1, Math.floor(from + (column + 1) * step));
    let low = 0, high = 0;
    for (let block = first; block < last; block++) {
      const at = source(block);
      if (at < 0 || at >= peaks.length) continue;
      if (peaks.low[at] < low) low = peaks.low[at];
      if (peaks.high[at] > high) high = peaks.high[at];
    }
    const top = middle - Math.min(1, gain * high) * scale, bottom = middle - Math.max(-1, gain * low) * scale;
    context.fillRect(x + column, top, 1, Math.max(1, bottom - top)); // one path of them all takes ten times as long
  }
}

/** The codebook map: a row a codebook, a column a frame, a colour a code. The same colours as Preview Codes gives. */

const GOLDEN = (Math.sqrt(5) - 1) / 2; // keeps neighbouring ids far apart in hue

/** Colours [r, g, b] in 0..1 of the ids 0..size-1, as one array. */
function palette(size) {
  const colours = new Float32Array(3 * size);
  for (let id = 0; id < size; id++) {
    const hue = 6 * ((id * GOLDEN) % 1);
    const rgb = [Math.abs(hue - 3) - 1, 2 - Math.abs(hue - 2), 2 - Math.abs(hue - 4)];
    for (let c = 0; c < 3; c++) colours[3 * id + c] = 0.25 + 0.75 * Math.min(1, Math.max(0, rgb[c]));
  }
  return colours;
}

/**
 * A picture of one pixel a code, to be drawn scaled.
 * @param {Int16Array} ids frame by frame: `ids[frame * codebooks + codebook]`; negative ones are silence, or not known
 * @returns {HTMLCanvasElement}
 */
export function codeMap(ids, codebooks, size) {
  const frames = ids.length / codebooks, canvas = document.createElement("canvas");
  canvas.width = Math.max(1, frames);
  canvas.height = codebooks;
  const context = canvas.getContext("2d"), image = context.createImageData(canvas.width, codebooks), colours = palette(size);
  for (let t = 0; t < frames; t++)
    for (let k = 0; k < codebooks; k++) {
      const id = ids[t * codebooks + k], at = 4 * (k * canvas.width + t);
      const level = 255 * (0.95 - (codebooks > 1 ? (0.5 * k) / (codebooks - 1) : 0)); // coarse codebooks bright, fine ones dim
      for (let c = 0; c < 3; c++) image.data[at + c] = id < 0 ? 40 : colours[3 * id + c] * level;
      image.data[at + 3] = 255;
    }
  context.putImageData(image, 0, 0);
  return canvas;
}

/** Draw frames `from`..`to` of a map into a box; sharp when enlarged. */
export function drawCodeMap(context, { x, y, width, height }, map, from, to) {
  const scale = width / (to - from), first = Math.max(0, from), last = Math.min(map.width, to);
  if (last <= first) return;
  context.imageSmoothingEnabled = scale < 1;
  context.drawImage(map, first, 0, last - first, map.height, x + (first - from) * scale, y, (last - first) * scale, height);
}

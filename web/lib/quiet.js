/** Where a cut is heard least. */

const NEAR = 2; // frames to either side that are looked at
const AROUND = 2; // blocks of the waveform to either side of a boundary

/** How loud it is where frame `frame` begins. `wave`: see Shown in timeline.js. */
function loudness({ perFrame, sources }, frame) {
  let loudest = 0;
  for (let block = frame * perFrame - AROUND; block < frame * perFrame + AROUND; block++)
    for (const { peaks, blockOf } of sources) if (block >= 0) loudest = Math.max(loudest, peaks.level(blockOf(block)));
  return loudest;
}

/** The quietest boundary within 2 frames of `frame`, of those alike the nearest. `frame` itself while there is no sound. */
export function quietest(wave, frame, frames) {
  if (!wave) return frame;
  let best = frame, least = loudness(wave, frame);
  for (let away = 1; away <= NEAR; away++)
    for (const place of [frame - away, frame + away]) {
      if (place < 0 || place > frames) continue;
      const level = loudness(wave, place);
      if (level < least) [best, least] = [place, level];
    }
  return best;
}

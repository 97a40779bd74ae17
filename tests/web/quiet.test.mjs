import assert from "node:assert/strict";
import { test } from "node:test";
import { quietest } from "../../web/lib/quiet.js";
import { Peaks } from "../../web/lib/waveform.js";

/** A waveform of 8 blocks a frame, as loud in each frame as `levels` say. */
function wave(levels, blockOf = (block) => block) {
  const peaks = new Peaks(2);
  peaks.append(Float32Array.from({ length: levels.length * 16 }, (_, i) => levels[i >> 4] * (i % 2 ? 1 : -1)));
  return { perFrame: 8, sources: [{ peaks, blockOf }] };
}

test("the quietest boundary within two frames is found", () => {
  const speech = wave([0.5, 0.5, 0.5, 0, 0, 0.5, 0.5, 0.5, 0.01, 0.01]);
  assert.equal(quietest(speech, 3, 10), 4); // between the two silent frames
  assert.equal(quietest(speech, 6, 10), 4);
  assert.equal(quietest(speech, 2, 10), 4);
  assert.equal(quietest(speech, 7, 10), 9);
  assert.equal(quietest(speech, 4, 10), 4);
});

test("equally loud places leave it where it is, as no sound does", () => {
  assert.equal(quietest(wave([0.5, 0.5, 0.5, 0.5]), 2, 4), 2);
  assert.equal(quietest(null, 2, 4), 2);
  assert.equal(quietest(wave([0, 0, 0]), 0, 3), 0);
});

test("silence that was inserted is quiet", () => {
  const inserted = wave([0.5, 0.5, 0.5, 0.5], (block) => (block < 16 ? block : block < 32 ? -1 : block - 16));
  assert.equal(quietest(inserted, 2, 6), 3);
});

test("the loudest sample and the level of a block are known", () => {
  const { peaks } = wave([0.25, -0.75]).sources[0];
  assert.equal(peaks.loudest, 0.75);
  assert.deepEqual([peaks.level(0), peaks.level(8), peaks.level(99), peaks.level(-1)], [0.25, 0.75, 0, 0]);
});

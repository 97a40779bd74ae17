import assert from "node:assert/strict";
import { test } from "node:test";
import { describeFile, describeTake, listHeight } from "../../web/lib/takes.js";

test("a row says length, why it ended, likelihood and seed", () => {
  assert.equal(describeTake({ seed: 12, seconds: 2.4, stop: "limit", log_probability: -2.314 }), "2.40 s · time limit · likelihood -2.31 · seed 12");
  assert.equal(describeTake({ seed: null, seconds: 12.32, stop: null, log_probability: null }), "12.3 s · edited");
});

test("a file says how many takes it has", () => {
  assert.equal(describeFile({ takes: 3, seed: 1, seconds: 2, stop: "eos" }), "3 takes · 2.00 s · ended · seed 1");
  assert.equal(describeFile({ takes: 1, seconds: 2, stop: null }), "2.00 s · edited");
});

test("six rows show without scrolling, more scroll", () => {
  assert.deepEqual([1, 6, 7, 64].map(listHeight), [44, 264, 264, 264]);
});

/** A selection on the timeline, in words. */

import { seconds } from "./dom.js";
import { range } from "./edits.js";

const LONGEST = 60; // characters of what is said there

/**
 * @param {string} said the words in frames `start`..`end`
 * @param {number} frames of all codes
 * @param {number} rate frames a second
 */
export function describeSelection(said, start, end, frames, rate) {
  const time = (n) => seconds(n / rate), quoted = said.length > LONGEST ? `${said.slice(0, LONGEST)}…` : said;
  const which = start < end ? `${range(start, end).replace("f", "F")}${end - start === 1 ? " selected" : ""} (${time(end - start)})`
    : `Frame ${start} (${time(start)})`;
  return `${said ? `“${quoted}”: ` : ""}${which} of ${frames} (${time(frames)})`;
}

/** What the Take Picker's rows and Load Codes say of takes, and how much room rows take. */

import { seconds, stopWords } from "./dom.js";

const ROW = 44, MOST_ROWS = 6; // pixels; more rows than that scroll

/** Pixels of the list of so many takes. */
export const listHeight = (takes) => ROW * Math.min(MOST_ROWS, takes);

/** Length, why it ended, likelihood, seed: what is known of them. */
export function describeTake({ seed, seconds: length, stop, log_probability: likelihood }) {
  return [seconds(length), stopWords([stop]), likelihood == null ? "" : `likelihood ${likelihood.toFixed(2)}`, seed == null ? "" : `seed ${seed}`]
    .filter(Boolean).join(" · ");
}

/** How many takes a file has, and what is known of the first. */
export const describeFile = (file) => [file.takes > 1 ? `${file.takes} takes` : "", describeTake(file)].filter(Boolean).join(" · ");

/** Sound files as samples. */

import { fileUrl } from "./graph.js";

/** Samples a second of nearly everything here; a file of another rate is converted as it is read. */
export const RATE = 24000;

/**
 * @param {{filename: string, subfolder: string, type: string}} file as a node's `ui` names it
 * @param {number} [rate] samples a second of the result
 * @returns {Promise<Float32Array|null>} null if it is gone (ComfyUI empties its temp folder when it starts)
 */
export async function loadSound(file, rate = RATE) {
  try {
    const reply = await fetch(fileUrl(file));
    if (!reply.ok) return null;
    const sound = await new OfflineAudioContext(1, 1, rate).decodeAudioData(await reply.arrayBuffer());
    return sound.getChannelData(0);
  } catch (error) {
    console.warn("Miso: a sound can't be read:", error);
    return null;
  }
}

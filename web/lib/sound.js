/** Sound files as samples. */

import { fileUrl } from "./graph.js";

/** Samples a second of everything here; a file of another rate is converted as it is read. */
export const RATE = 24000;

/**
 * @param {{filename: string, subfolder: string, type: string}} file as a node's `ui` names it
 * @returns {Promise<Float32Array|null>} null if it is gone (ComfyUI empties its temp folder when it starts)
 */
export async function loadSound(file) {
  try {
    const reply = await fetch(fileUrl(file));
    if (!reply.ok) return null;
    const sound = await new OfflineAudioContext(1, 1, RATE).decodeAudioData(await reply.arrayBuffer());
    return sound.getChannelData(0);
  } catch (error) {
    console.warn("Miso: a sound can't be read:", error);
    return null;
  }
}

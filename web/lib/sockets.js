/**
 * A colour for each socket type, so that wires can be told apart. Each is that of its counterpart in image workflows: backbone as
 * MODEL, text as CLIP, codes as LATENT, vocoder as VAE. Nodes 2.0 takes the same from miso.css.
 */

import { app } from "../../../scripts/app.js";

export const COLORS = {
  MISO_BACKBONE: "#b39ddb",
  MISO_DEPTH: "#7e9cf0",
  MISO_TEXT: "#ffd500",
  MISO_CONDITIONING: "#ffa931",
  MISO_CODES: "#ff9cf9",
  MISO_HIDDEN: "#4dc7b3",
  MISO_VOCODER: "#ff6e6e",
  MISO_VOICES: "#a5d66f",
  MISO_CONVERSATION: "#c9a27a",
  MISO_RECOGNISER: "#8fd3ff",
};

function paint() {
  // an empty colour is what a theme without one for the type leaves; a theme that has one keeps it
  for (const [type, color] of Object.entries(COLORS))
    for (const table of [app.canvas?.default_connection_color_byType, window.LGraphCanvas?.link_type_colors])
      if (table && !table[type]) table[type] = color;
  app.canvas?.setDirty(true, true);
}

/** Colour the sockets now and whenever the page's theme changes, which sets all colours anew. */
export function colorSockets() {
  paint();
  new MutationObserver(paint).observe(document.documentElement, { attributeFilter: ["style"] });
}

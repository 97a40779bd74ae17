/** The elements of the Code Editor. What they do is the editor's. */

import { CodebookMenu } from "./codebooks.js";
import { COMMANDS } from "./commands.js";
import { button, el } from "./dom.js";
import { EditList } from "./editlist.js";
import { Enlarged } from "./enlarged.js";
import { Timeline } from "./timeline.js";

/** Build them; returns them by name. */
export function layOut(editor) {
  const buttons = Object.fromEntries(COMMANDS.map(([command, text, label, keys]) =>
    [command, button(text, `${label} (${keys})`, (e) => editor.pressed(e, command), { "aria-keyshortcuts": keys.replace("Ctrl", "Control") })]));
  const pauseFrames = el("input", { type: "number", className: "miso-number", min: 1, max: 9999, value: 6,
    "aria-label": "Frames of silence (12 are a second)", title: "Frames of silence (12 are a second)" });
  const codebooks = new CodebookMenu({ onkeep: (count) => editor.add({ op: "keep_codebooks", count }), onreplace: (first) => editor.replace(first) });
  const snap = el("input", { type: "checkbox", checked: true });
  const map = el("input", { type: "checkbox", checked: true, onchange: () => editor.showMap(map.checked) });
  const options = { onselect: () => editor.describe(), snaps: () => snap.checked, maps: () => map.checked, onword: () => editor.playWord() };
  const main = new Timeline(options), side = new Timeline(options);
  side.canvas.hidden = true;
  side.canvas.setAttribute("aria-label", "Timeline of the second codes");
  const tab = button("Second codes", "Show the second codes, to copy from", () => editor.showSecond(side.canvas.hidden));
  const takeChoice = el("select", { "aria-label": "Take", title: "Take", onchange: () => editor.chooseTake(takeChoice.value) });
  const enlarge = button("⤢ Enlarge", "Enlarge the editor, or put it back into the node", () => enlarged.toggle());
  const status = el("div", { className: "miso-grow", role: "status" });
  const list = new EditList({ onclear: () => editor.act([]), ontake: (i) => editor.act(editor.edits.filter((_, j) => j !== i)) });
  const zoom = (text, label, act) => button(text, label, () => act(editor.timeline));
  const root = el("div", { className: "miso miso-editor", role: "group", "aria-label": "Code editor", onkeydown: (e) => editor.key(e) },
    el("div", { className: "miso-bar" }, ...Object.values(buttons).slice(0, 8), enlarge),
    el("div", { className: "miso-bar" }, buttons.pause, pauseFrames, buttons.resample, buttons.redecode, codebooks.root, takeChoice, tab),
    list.notice, main.canvas, side.canvas,
    el("div", { className: "miso-row" }, status, el("label", { title: "Move dragged boundaries to edges, and to the quietest place within 2 frames" }, snap, "Snap"),
      el("label", { title: "Draw the codes below the waveform" }, map, "Code map"), zoom("−", "Zoom out (-)", (t) => t.zoom(2)),
      zoom("+", "Zoom in (+)", (t) => t.zoom(0.5)), zoom("Fit", "Show all (0)", (t) => t.fit())),
    list.root);
  const enlarged = new Enlarged(root, "Code editor", (open) => {
    enlarge.textContent = open ? "⤡ Back to the node" : "⤢ Enlarge";
    editor.timeline.canvas.focus({ preventScroll: true }); // moved in the page, it has lost it
  });
  return { buttons, pauseFrames, codebooks, map, main, side, tab, takeChoice, status, list, root, enlarged };
}

/** Fill the choice of takes: all `count`, or one alone; hidden if there is only one. */
export function fillTakes(choice, count, chosen) {
  choice.hidden = count < 2;
  if (choice.hidden) return;
  choice.replaceChildren(el("option", { value: "", textContent: `All ${count} takes` }),
    ...Array.from({ length: count }, (_, i) => el("option", { value: i, textContent: `Take ${i + 1} alone` })));
  choice.value = chosen;
}

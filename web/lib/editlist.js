/** Below the editor's timeline: the list of edits, and what is wrong with them or still to be done. */

import { button, el } from "./dom.js";
import { describe } from "./edits.js";

export class EditList {
  /** @param {{ontake: (index: number) => void, onclear: Function}} options take one edit away, or all */
  constructor({ ontake, onclear }) {
    Object.assign(this, { ontake });
    this.count = el("span", { className: "miso-edit-count" });
    this.clear = button("Clear edits", "Take all edits away; Undo brings them back", onclear);
    this.list = el("ol");
    this.root = el("div", { className: "miso-edits", role: "group", "aria-label": "Edits", "data-capture-wheel": "true" }, this.count, this.clear, this.list);
    this.words = el("span", { className: "miso-notice-words" });
    this.actions = el("span", { className: "miso-notice-actions" });
    this.notice = el("div", { className: "miso-notice", role: "alert", hidden: true }, this.words, this.actions);
  }

  /** @param {number} wrong the one that doesn't fit, or -1 */
  show(edits, wrong) {
    this.count.textContent = `${edits.length || "No"} edit${edits.length === 1 ? "" : "s"}`;
    this.clear.disabled = !edits.length;
    this.list.replaceChildren(...edits.map((edit, i) => el("li", { className: i === wrong ? "wrong" : "" }, `${describe(edit)} `,
      button("✕", `Take edit ${i + 1} away`, () => this.ontake(i)))));
    this.list.querySelector(".wrong")?.scrollIntoView?.({ block: "nearest" });
  }

  /**
   * @param {string} words "" for nothing
   * @param {boolean} bad whether it is an error
   * @param {[string, string, Function][]} actions text, what it does, and how
   */
  say(words, bad = false, actions = []) {
    const text = actions.map(([name]) => name).join("|");
    if (this.words.textContent === words && this.actions.dataset.text === text) return; // a screen reader would say it again
    this.words.textContent = words;
    this.actions.dataset.text = text;
    this.actions.replaceChildren(...actions.map(([name, label, act]) => button(name, label, act)));
    this.notice.hidden = !words;
    this.notice.classList.toggle("miso-error", bad);
  }
}

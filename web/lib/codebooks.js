/** The editor's menu of what changes codebooks and not time. */

import { button, el } from "./dom.js";

export class CodebookMenu {
  /** @param {{onkeep: (count: number) => void, onreplace: (first: number) => void}} options codebooks are counted from 1 here, in `first` from 0 */
  constructor({ onkeep, onreplace }) {
    const number = (label, value) => el("input", { type: "number", className: "miso-number", min: 1, max: 64, value, "aria-label": label, title: label });
    this.count = number("Codebooks to keep", 8);
    this.first = number("First codebook to replace", 2);
    const act = (done) => () => {
      this.root.open = false;
      done();
    };
    this.keep = button("Keep the first", "Keep the first codebooks only: coarser sound", act(() => onkeep(Math.round(+this.count.value))));
    this.replace = button("Replace those from", "Replace the selection's codebooks, from this one on, by those of the second codes that begin where its selection does",
      act(() => onreplace(Math.round(+this.first.value) - 1)));
    this.second = el("div", { className: "miso-row" }, this.replace, this.first);
    this.summary = el("summary", { textContent: "Codebooks ▾", title: "Keep or replace codebooks" });
    this.root = el("details", { className: "miso-menu", "aria-label": "Codebooks", onkeydown: (e) => this.key(e), onfocusout: (e) => this.left(e) }, this.summary,
      el("div", { className: "miso-menu-items" }, el("div", { className: "miso-row" }, this.keep, this.count), this.second));
  }

  /** @param {boolean} able @param {boolean} second whether there are second codes @param {boolean} selected */
  enable(able, second, selected) {
    this.keep.disabled = this.count.disabled = !able;
    this.second.hidden = !second;
    this.replace.disabled = !able || !selected;
  }

  key(event) {
    if (event.key !== "Escape" || !this.root.open) return;
    event.preventDefault(); // the enlarged editor stays
    event.stopPropagation();
    this.root.open = false;
    this.summary.focus();
  }

  left(event) {
    if (event.relatedTarget && !this.root.contains(event.relatedTarget)) this.root.open = false;
  }
}

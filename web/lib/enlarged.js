import { el } from "./dom.js";

/** What is enlarged: an element that can leave its node for a dialog as large as the window, and go back. */
export class Enlarged {
  /** `ontoggle(open)` is called after either. */
  constructor(root, label, ontoggle) {
    Object.assign(this, { root, label, ontoggle, dialog: null });
  }

  toggle() {
    if (this.dialog) return this.dialog.close();
    const place = this.root.parentElement;
    const dialog = this.dialog = el("dialog", { className: "miso-dialog", "aria-label": this.label }, this.root);
    dialog.addEventListener("keydown", (e) => {
      if (e.key === "Escape") e.stopPropagation(); // ComfyUI would take it for itself, and the dialog stay
    });
    dialog.onclose = () => {
      place?.append(this.root);
      dialog.remove();
      this.dialog = null;
      this.ontoggle(false);
    };
    document.body.append(dialog);
    dialog.showModal();
    this.ontoggle(true);
  }

  close() {
    this.dialog?.close();
  }
}

/** The editor's value: a list of edits, as the text that is saved with the workflow, and what can be undone and done again. */
export class History {
  /** `onchange` is called after every change made in the page. */
  constructor(text, onchange) {
    this.onchange = onchange;
    this.load(text);
  }

  /** Begin anew with what a workflow holds. */
  load(text) {
    this.text = String(text || "[]");
    [this.past, this.future] = [[], []];
    try {
      const edits = JSON.parse(this.text);
      this.edits = Array.isArray(edits) ? edits.filter((e) => e && typeof e === "object") : [];
    } catch {
      this.edits = []; // the text stays as it is: the server says what is wrong with it
    }
  }

  /** The list is now this one, and was another. */
  act(edits) {
    this.past.push(this.edits);
    this.future = [];
    this.#set(edits);
  }

  get undoable() {
    return this.edits.length > 0 || this.past.length > 0;
  }

  get redoable() {
    return this.future.length > 0;
  }

  undo() {
    if (!this.undoable) return;
    this.future.push(this.edits);
    this.#set(this.past.pop() ?? this.edits.slice(0, -1)); // edits made before the page was opened go one by one
  }

  redo() {
    if (!this.redoable) return;
    this.past.push(this.edits);
    this.#set(this.future.pop());
  }

  #set(edits) {
    this.edits = edits;
    this.text = JSON.stringify(edits);
    this.onchange();
  }
}

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
    let list = [];
    try {
      list = JSON.parse(this.text);
    } catch {
      // the text stays as it is: the server says what is wrong with it
    }
    this.#read(Array.isArray(list) ? list.filter((e) => e && typeof e === "object") : []);
  }

  /** The list is now this one, made for these codes (see miso/codes/editing/edits.py), and was another. */
  act(edits, madeFor = this.madeFor) {
    this.past.push(this.#list);
    this.future = [];
    this.#set(madeFor && edits.length ? [madeFor, ...edits] : edits);
  }

  get undoable() {
    return this.edits.length > 0 || this.past.length > 0;
  }

  get redoable() {
    return this.future.length > 0;
  }

  undo() {
    if (!this.undoable) return;
    this.future.push(this.#list);
    this.#set(this.past.pop() ?? (this.edits.length > 1 ? this.#list.slice(0, -1) : [])); // edits made before the page was opened go one by one
  }

  redo() {
    if (!this.redoable) return;
    this.past.push(this.#list);
    this.#set(this.future.pop());
  }

  get #list() {
    return this.madeFor ? [this.madeFor, ...this.edits] : this.edits;
  }

  #read(list) {
    this.madeFor = list[0]?.op === "made_for" ? list[0] : null;
    this.edits = this.madeFor ? list.slice(1) : list;
  }

  #set(list) {
    this.#read(list);
    this.text = JSON.stringify(list);
    this.onchange();
  }
}

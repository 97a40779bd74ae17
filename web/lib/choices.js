/** What was chosen about turns, as the text that is saved with the workflow: see miso/generation/choices.py. */

const isOf = ({ text, speaker, nth }) => (entry) => entry.text === text && entry.speaker === speaker && entry.nth === nth;

export class Choices {
  constructor(text) {
    this.load(text);
  }

  /** Begin anew with what a workflow holds. */
  load(text) {
    this.text = String(text || "[]");
    this.list = [];
    try {
      const list = JSON.parse(this.text);
      if (Array.isArray(list)) this.list = list.filter((entry) => entry && typeof entry === "object");
    } catch {
      // the text stays as it is: the server says what is wrong with it
    }
  }

  /**
   * @param {{text: string, speaker: number, nth: number}} turn
   * @returns {{attempt: number, locked: string}}
   */
  of(turn) {
    const { attempt = 0, locked = "" } = this.list.find(isOf(turn)) ?? {};
    return { attempt, locked };
  }

  /** Choose about a turn; what isn't named stays. Returns the new text. */
  choose(turn, change) {
    const { text, speaker, nth } = turn, { attempt, locked } = { ...this.of(turn), ...change };
    const rest = this.list.filter((entry) => !isOf(turn)(entry));
    this.list = attempt || locked ? [...rest, { text, speaker, nth, ...(attempt && { attempt }), ...(locked && { locked }) }] : rest;
    return (this.text = JSON.stringify(this.list));
  }
}

/** What a row says of a turn: its length, where it comes from, and what the next run will do with it. */
export function describeTurn(turn, { attempt, locked }) {
  return [`${(turn.end - turn.start).toFixed(2)} s`, turn.kept ? "kept" : "sampled", { limit: "cut at the time limit", interrupted: "interrupted", runaway: "ran on" }[turn.stop],
    locked && locked !== turn.codes && "not as it was locked",
    attempt !== turn.attempt ? `attempt ${attempt + 1} when you run` : attempt && `attempt ${attempt + 1}`].filter(Boolean).join(" · ");
}

/** The Code Editor's commands: [method, text, what it does, keys] */
export const COMMANDS = [
  ["play", "▶ Play", "Play the selection, or from the cursor on", "Space"],
  ["undo", "Undo", "Undo", "Ctrl+Z"],
  ["redo", "Redo", "Redo", "Ctrl+Y"],
  ["cut", "Cut", "Cut the selection; pasting then moves it", "Ctrl+X"],
  ["copy", "Copy", "Copy the selection, here or of the second codes", "Ctrl+C"],
  ["paste", "Paste", "Paste at the cursor", "Ctrl+V"],
  ["remove", "Delete", "Delete the selection", "Delete"],
  ["repeat", "Repeat", "Say the selection once more", "R"],
  ["pause", "Silence", "Insert silence at the cursor", "S"],
  ["resample", "Resample from here", "Mark the cursor: the frames before it go to the output 'prefix'. Again takes the mark away", "P"],
  ["redecode", "Redecode depth here", "Mark the cursor for the output 'redecode_from', on unedited codes. Again takes the mark away", "D"],
];
const ALIASES = { "Ctrl+Shift+Z": "redo", Backspace: "remove" };

/** The method that a key stands for, if any. */
export function commandOf(event) {
  const control = event.ctrlKey || event.metaKey, name = event.key === " " ? "Space" : event.key.length === 1 ? event.key.toUpperCase() : event.key;
  const keys = `${control ? "Ctrl+" : ""}${control && event.shiftKey ? "Shift+" : ""}${name}`;
  return event.altKey ? undefined : COMMANDS.find((c) => c[3] === keys)?.[0] ?? ALIASES[keys];
}

/** Controls of terminals (C0, DEL, C1), marks that turn the direction of text, invisible breaks, halves of characters. */
const hidden = /[\p{Cc}\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff\p{Cs}]/gu;
const short: Readonly<Record<string, string>> = { "\t": "\\t", "\n": "\\n", "\r": "\\r" };

/** Foreign text, such as a file's name, in one line and without effect on a terminal: `\t`, `\n`, `\r`, `\u001b`. */
export function shown(text: string): string {
  return text.replace(hidden, (character) => short[character] ?? escaped(character));
}

/** The same for a text of our own, which may have several lines and columns. */
export function shownText(text: string): string {
  return text.replace(hidden, (character) =>
    character === "\n" || character === "\t" ? character : escaped(character),
  );
}

/** As in JSON, where these characters stand in strings only. */
function escaped(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
}

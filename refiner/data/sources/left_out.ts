/** Counts what a data set holds and is not used, by kind, so that nothing goes missing without a word. */
export class LeftOut {
  readonly #kinds = new Map<string, { count: number; readonly example: string }>();

  add(kind: string, name: string): void {
    const known = this.#kinds.get(kind);
    if (known) known.count++;
    else this.#kinds.set(kind, { count: 1, example: name });
  }

  /** One line, such as `3 files of data were left out: 2 .heic (a.heic), 1 .txt (notes.txt)`; undefined if there are none. */
  line(origin: string, remedy: string): string | undefined {
    if (this.#kinds.size === 0) return undefined;
    const kinds = [...this.#kinds].sort(([, a], [, b]) => b.count - a.count);
    const total = kinds.reduce((sum, [, { count }]) => sum + count, 0);
    const named = kinds.map(([kind, { count, example }]) => `${count} ${kind} (such as ${example})`).join(", ");
    return `${total} ${total === 1 ? "file" : "files"} of ${origin} left out: ${named}; ${remedy}`;
  }
}

/** The ending of a file's name, as kinds are told: `.heic`, or `without an ending`. */
export function endingOf(name: string): string {
  const base = name.slice(name.lastIndexOf("/") + 1);
  const dot = base.lastIndexOf(".");
  return dot > 0 && dot < base.length - 1 ? base.slice(dot).toLowerCase() : "without an ending";
}

import process from "node:process";
import type { Reader, ReaderRecipe } from "./reader.ts";

const held: Uint8Array[] = [];

/** What this reader does with a file whose first byte is the number. */
const planted: readonly (() => void)[] = [
  () => {
    throw new TypeError("planted: an error without a class of the product");
  },
  () => {
    for (;;); // never answers
  },
  () => {
    held.push(new Uint8Array(300 * 2 ** 20).fill(1));
  },
  () => {
    process.abort();
  },
];

/** A reader with every kind of fault, by which the campaign proves that it finds them; it takes part only when it is asked for. */
export const plantedReader: ReaderRecipe = {
  name: "planted",
  share: 0,
  open: async (): Promise<Reader> => ({
    originals: planted.map((_, i) => Uint8Array.of(i)),
    words: [],
    read: async (bytes) => {
      planted[bytes[0] ?? planted.length]?.();
      return "read";
    },
  }),
};

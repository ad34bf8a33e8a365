import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { memorySource } from "../../../engine/files/byte_source.ts";
import { openCheckpoint } from "../../../engine/files/index.ts";
import { openEncoder } from "../../../models/checkpoints/index.ts";
import { fuzzFormats, originals, visit } from "../../engine/files/fuzz.ts";
import { fixtures } from "../places.ts";
import type { ReaderRecipe } from "./reader.ts";

/** Files of tensors by their format, with the mutations of test/engine/files/fuzz.ts. */
const formats: readonly ReaderRecipe[] = fuzzFormats.map((format) => ({
  name: format,
  share: 10,
  open: async () => ({
    originals: await originals(format, pathToFileURL(join(fixtures, "checkpoints/"))),
    read: async (bytes) => {
      const kind = await visit(bytes, () => undefined);
      return kind === "read" ? kind : `refused: ${kind}`;
    },
  }),
}));

const published = ["data2vec2.pt", "mae.pth", "legacy.pth", "refiner.th", "refiner-hub.th"];

/** Encoders: names, stated settings and shapes of published files, and all of their parameters. */
const encoder: ReaderRecipe = {
  name: "encoder",
  share: 3,
  open: async () => ({
    originals: await Promise.all(published.map((name) => readFile(join(fixtures, "checkpoints", name)))),
    words: [
      "blocks.0.",
      "norm1.",
      "qkv",
      "weight",
      "bias",
      "pos_embed",
      "cls_token",
      "X",
      ")",
      "R",
      "\x85",
      "args",
      "t",
    ],
    read: async (bytes) => {
      const checkpoint = await openCheckpoint(memorySource(bytes, "mutated"));
      const { parameters } = await openEncoder(checkpoint, {}, "mutated");
      for (const { read } of parameters.values()) await read();
      return "read";
    },
  }),
};

export const weightReaders: readonly ReaderRecipe[] = [...formats, encoder];

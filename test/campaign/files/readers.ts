import { evaluationReaders } from "./evaluation_readers.ts";
import { imageReaders } from "./image_readers.ts";
import { otherReaders } from "./other_readers.ts";
import { plantedReader } from "./planted_reader.ts";
import type { ReaderRecipe } from "./reader.ts";
import { runReaders } from "./run_readers.ts";
import { weightReaders } from "./weight_readers.ts";

export const readers: readonly ReaderRecipe[] = [
  ...weightReaders,
  ...imageReaders,
  ...runReaders,
  ...evaluationReaders,
  ...otherReaders,
  plantedReader,
];

import { concat, OptionError, type Program, reshape, slice, type Tensor } from "../../../engine/index.ts";
import {
  type EncodedTokens,
  type Pooling,
  poolingTable,
  poolTokens,
  segmentTokens,
  type VitConfig,
} from "../../../models/index.ts";

/**
 * What stands for an image: its class token, the mean over its patch tokens, the two one behind the other (`[cls, avg]`), or all
 * patch tokens, row by row of the grid.
 */
export type FeaturePooling = Pooling | "cls+avg" | "patches";

/** The class token where the model has one, else the mean over patches. */
export function defaultPooling({ classTokens }: Pick<VitConfig, "classTokens">): Pooling {
  return classTokens > 0 ? "cls" : "avg";
}

/** @throws OptionError for the class token of a model without one */
export function checkPooling({ classTokens }: Pick<VitConfig, "classTokens">, pooling: FeaturePooling): void {
  if (classTokens === 0 && (pooling === "cls" || pooling === "cls+avg"))
    throw new OptionError(`features: the model has no class token, so ${pooling} is not possible; pool with avg`);
}

/** Values per image. @param patches - patch tokens of an image */
export function pooledWidth({ width }: Pick<VitConfig, "width">, pooling: FeaturePooling, patches: number): number {
  if (pooling === "patches") return patches * width;
  return pooling === "cls+avg" ? 2 * width : width;
}

/**
 * Records the pooling of one batch.
 *
 * @returns gives `[images, values]`, f32, of token rows such as `encoded.rows` or a tap
 */
export function poolingOf(
  program: Program,
  encoded: EncodedTokens,
  pooling: FeaturePooling,
  classTokens: number,
): (rows: Tensor) => Tensor {
  if (pooling === "patches") return (rows) => patchTokens({ ...encoded, rows }, classTokens);
  const kinds: readonly Pooling[] = pooling === "cls+avg" ? ["cls", "avg"] : [pooling];
  const tables = kinds.map((kind) => poolingTable(program, encoded.segments, kind, classTokens));
  return (rows) => {
    const pooled = tables.map((table) => poolTokens(rows, table));
    const [first] = pooled;
    return pooled.length === 1 && first ? first : concat(pooled, 1);
  };
}

function patchTokens(encoded: EncodedTokens, classTokens: number): Tensor {
  const tokens = segmentTokens(encoded, 0);
  const [images = 1, count = 1, width = 1] = tokens.shape;
  const patches = slice(tokens, [undefined, [classTokens, count], undefined]);
  return reshape(patches, [images, (count - classTokens) * width]);
}

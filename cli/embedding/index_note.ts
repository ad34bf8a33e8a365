import { basename } from "node:path";
import { configKey, type VitConfig } from "../../models/index.ts";
import { EvaluationError, type FeatureBlock } from "../../refiner/evaluation/index.ts";
import { weightsFingerprint } from "../checkpoints/weights_digest.ts";

/** What features were made with, as far as they depend on it. */
export interface Making {
  /** Path of the weights. */
  readonly weights: string;
  readonly config: VitConfig;
  /** Where in the file the encoder stood. */
  readonly place: string;
  readonly classPosition: "exact" | "as-published";
  readonly block: FeatureBlock;
  readonly pooling: string;
  /** Pixels, where it was given. */
  readonly shorterSide?: number;
}

export type IndexNote = ReadonlyMap<string, string>;

const keys = {
  weights: "mimrefine.weights",
  digest: "mimrefine.weightsDigest",
  place: "mimrefine.place",
  classPosition: "mimrefine.classPosition",
  block: "mimrefine.block",
  pooling: "mimrefine.pool",
  shorterSide: "mimrefine.shorterSide",
} as const;

/** The note that stands beside features, or in their file. */
export async function noteOf(making: Making): Promise<Record<string, string>> {
  const { weights, config, place, classPosition, block, pooling, shorterSide } = making;
  return {
    [keys.weights]: basename(weights),
    [keys.digest]: await digestOf(weights),
    [configKey]: JSON.stringify(config),
    [keys.place]: place,
    [keys.classPosition]: classPosition,
    [keys.block]: String(block),
    [keys.pooling]: pooling,
    ...(shorterSide === undefined ? {} : { [keys.shorterSide]: String(shorterSide) }),
  };
}

async function digestOf(weights: string): Promise<string> {
  return Object.values(await weightsFingerprint(weights)).join("-");
}

/**
 * Compares the file of weights before anything is loaded.
 *
 * @returns what is not known, for a warning; undefined where the weights are those of the index
 * @throws EvaluationError for other weights
 */
export async function checkIndexWeights(note: IndexNote, weights: string): Promise<string | undefined> {
  const [name, digest] = [note.get(keys.weights), note.get(keys.digest)];
  if (digest === undefined) {
    const said = name === undefined ? "nothing about the weights that it was made with" : `only their name, ${name}`;
    return `the index says ${said}; if they are others than ${basename(weights)}, similarities mean nothing: embed the images again to be sure`;
  }
  if (digest === (await digestOf(weights))) return undefined;
  throw new EvaluationError(
    `search: the index was made with other weights (${name}) than ${weights}, and similarities between two encoders mean nothing; give those with --weights, or embed the images again with these`,
  );
}

/** @throws EvaluationError if the encoder of the same file is read in another way, or another block, pooling or size is asked for */
export function checkIndexMaking(note: IndexNote, making: Making): void {
  const stated: readonly (readonly [what: string, key: string, value: string])[] = [
    ["encoder (such as --attention-heads)", configKey, JSON.stringify(making.config)],
    ["place in the file (--place)", keys.place, making.place],
    ["position of the class token (--class-position)", keys.classPosition, making.classPosition],
    ["block (--block)", keys.block, String(making.block)],
    ["pooling (--pool)", keys.pooling, making.pooling],
    ["shorter side (--shorter-side)", keys.shorterSide, String(making.shorterSide ?? "")],
  ];
  const others = stated.filter(([, key, value]) => (note.get(key) ?? value) !== value);
  const [first] = others;
  if (first === undefined) return;
  const differences = others.map(([what, key, value]) => `${what} ${note.get(key)}, not ${value}`).join("; ");
  throw new EvaluationError(
    `search: the index was made with another ${differences}; leave the option out, or embed the images again`,
  );
}

/** What the index says about how features were read from the encoder. */
export function readingOf(note: IndexNote): {
  readonly block: FeatureBlock;
  readonly pool?: string;
  shorterSide?: number;
} {
  const [block, pool, side] = [note.get(keys.block), note.get(keys.pooling), note.get(keys.shorterSide)];
  return {
    block: block === undefined || block === "last" ? "last" : Number(block),
    ...(pool === undefined ? {} : { pool }),
    ...(side === undefined ? {} : { shorterSide: Number(side) }),
  };
}

import type { Checkpoint } from "../../engine/files/index.ts";
import { OptionError, ShapeError } from "../../engine/index.ts";
import { type VitConfig, vitConfig } from "../vit_config.ts";
import {
  checkedReader,
  grid,
  merged,
  type ReadFloats,
  type Source,
  type StoredParameter,
  scaled,
  tokens,
  whole,
} from "./assemble_parameters.ts";
import { type PositionGrid, positionGrid, type StoredConfig, storedConfig } from "./encoder_config.ts";
import { IncompleteWeightsError } from "./errors.ts";
import {
  checkShapes,
  positionsName,
  refuseIncomplete,
  shapesOf,
  startParameter,
  takeUnexpected,
} from "./expected_parameters.ts";
import type { LoadReport } from "./load_report.ts";
import { familyOf } from "./name_maps.ts";
import { type SortedTensors, sortTensors } from "./sort_tensors.ts";
import { findStateDict, pathOf } from "./state_dict.ts";

export interface EncoderOptions {
  /** Attention heads, where neither the file nor its width tells. */
  readonly heads?: number;
  /** What stored positions belong to, height and width in pixels, where they are no square grid and the file does not tell. */
  readonly resolution?: readonly [heightPixels: number, widthPixels: number];
  /** LayerNorm epsilon; default: what the file states, else its family's. */
  readonly epsilon?: number;
  /**
   * What to do with a non-zero position row of the class token: `exact` (default) adds it to the token, which leaves the
   * model's function as it was; `as-published` drops it, as the authors' loader does.
   */
  readonly classPosition?: "exact" | "as-published";
  /** Accept parameters without stored values; they get start values (positions: sin-cos, row first). */
  readonly allowMissing?: boolean;
  /** Accept tensors that nothing is known about. */
  readonly allowLeftOver?: boolean;
  /** Which encoder of the file, as `LoadReport.alternatives` lists them. */
  readonly place?: string;
}

/** An encoder in a file: its config, its parameters under the authors' names (each read when asked for), the report. */
export interface StoredEncoder {
  readonly config: StoredConfig;
  /** `pos_embed.embed` is among them. */
  readonly parameters: ReadonlyMap<string, StoredParameter>;
  readonly report: LoadReport;
}

/**
 * Recognises the encoder in a checkpoint by its tensors. Only the positions are read.
 *
 * @throws UnknownModelError, IncompleteWeightsError, OptionError, ShapeError
 */
export async function openEncoder(
  checkpoint: Checkpoint,
  options: EncoderOptions = {},
  file = "checkpoint",
): Promise<StoredEncoder> {
  const dict = findStateDict(checkpoint, options.place, file);
  const sorted = sortTensors(dict);
  const warnings: string[] = [];
  const notes: string[] = [];
  const read = checkedReader(checkpoint, warnings);
  const patchWeight = dict.tensors.get(dict.anchor)?.shape ?? [];
  const classTokens = sorted.tokens.reduce((sum, token) => sum + countTokens(token, file), 0);
  const place =
    sorted.positions && positionGrid(checkpoint, sorted.positions, { patchWeight, classTokens }, options, file);
  const isGuess = sorted.positions?.shape.length !== 4 && !options.resolution && !dict.anchor.startsWith("modality");
  if (isGuess && place?.leadingRows === 0 && classTokens > 0)
    notes.push(
      `positions: taken as ${place.rows} x ${place.columns} patches without a row for the class token; if that is wrong, give the resolution (--resolution)`,
    );
  const parameters = plainParameters(read, sorted);
  await addPositions(read, parameters, sorted, place, options.classPosition ?? "exact", notes);
  const config = storedConfig(
    checkpoint,
    {
      patchWeight,
      mlpWidth: parameters.get("blocks.0.mlp.fc1.weight")?.shape[0],
      blocks: countBlocks(parameters.keys(), file),
      classTokens,
      isPostnorm: parameters.has("embed_norm.weight"),
      isTransformers: dict.anchor.startsWith("embeddings"),
    },
    place,
    options,
    file,
  );
  const expected = shapesOf(config);
  const missing = checkShapes(expected, parameters, file);
  const leftOver = [...sorted.leftOver, ...takeUnexpected(expected, parameters)];
  const report: LoadReport = {
    file,
    format: checkpoint.format,
    family: familyOf(dict.anchor, [...dict.tensors.keys()], pathOf(dict, "")),
    place: pathOf(dict, ""),
    alternatives: dict.alternatives,
    matched: [...parameters].map(([target, { sources }]) => ({ target, sources })),
    dropped: sorted.dropped,
    missing,
    leftOver,
    notes,
    warnings,
  };
  refuseIncomplete(report, options);
  for (const name of missing) parameters.set(name, startParameter(config, name));
  return { config, parameters, report };
}

/** The complete config. @throws OptionError if the number of heads is unknown */
export function completeConfig(config: StoredConfig, file = "checkpoint"): VitConfig {
  const { heads, ...rest } = config;
  if (heads === undefined) {
    throw new OptionError(
      `${file}: nothing tells the number of attention heads of width ${config.width}; give it (--attention-heads), a divisor of ${config.width}`,
    );
  }
  return vitConfig({ ...rest, heads });
}

function plainParameters(read: ReadFloats, sorted: SortedTensors): Map<string, StoredParameter> {
  const parameters = new Map<string, StoredParameter>();
  for (const [target, source] of sorted.direct) {
    const gain = sorted.gains.get(target.replace(/\.(weight|bias)$/, ""));
    const plain = whole(read, source);
    parameters.set(target, gain ? scaled(read, plain, gain) : plain);
  }
  for (const [target, thirds] of sorted.thirds) {
    // Several families store no key bias, since soft-max does not see it; a matrix needs all three.
    if (target.endsWith(".bias") || !thirds.includes(undefined)) parameters.set(target, merged(read, thirds));
  }
  return parameters;
}

async function addPositions(
  read: ReadFloats,
  parameters: Map<string, StoredParameter>,
  sorted: SortedTensors,
  place: PositionGrid | undefined,
  classPosition: "exact" | "as-published",
  notes: string[],
): Promise<void> {
  let added: { path: string; rows: Float32Array } | undefined;
  const source = sorted.positions;
  if (source && place) {
    const { rows, columns, leadingRows } = place;
    const width = source.shape.at(-1) ?? 1;
    parameters.set(positionsName, grid(read, source, [1, rows, columns, width], leadingRows));
    if (leadingRows > 0) {
      const leading = (await read(source.path)).slice(0, leadingRows * width);
      const isZero = leading.every((value) => value === 0);
      if (!isZero && classPosition === "exact") added = { path: source.path, rows: leading };
      const what = isZero
        ? "is zero and was taken off"
        : added
          ? "was added to the class token, which is exact (the published loader drops it)"
          : "was dropped, as the published loader does; this changes the model";
      notes.push(`positions: the class row ${what}`);
    }
  }
  if (sorted.tokens.length > 0) parameters.set("cls_tokens.tokens", tokens(read, sorted.tokens, added));
}

/** Tokens of a `[1, tokens, width]`, `[tokens, width]` or `[width]` tensor. @throws ShapeError for any other */
function countTokens({ path, shape }: Source, file: string): number {
  const [tokens = 1] = shape.slice(0, -1).slice(-1);
  if (shape.length > 0 && shape.length <= 3 && tokens > 0 && (shape.length < 3 || shape[0] === 1)) return tokens;
  throw new ShapeError(
    `${file}: ${path} is [${shape}], expected [1, tokens, width]; the file is damaged or of another architecture`,
  );
}

/** @throws IncompleteWeightsError if a block lacks, so that a number in a name cannot ask for blocks that nobody stored */
function countBlocks(names: Iterable<string>, file: string): number {
  const indices = new Set([...names].flatMap((name) => /^blocks\.(\d+)\./.exec(name)?.[1] ?? []).map(Number));
  for (let block = 0; block < indices.size; block++) {
    if (indices.has(block)) continue;
    throw new IncompleteWeightsError(
      `${file}: block ${block} is not in the file, others up to block ${[...indices].sort((a, b) => b - a)[0]} are; the file is damaged or of another architecture`,
      [],
      [],
    );
  }
  return indices.size;
}

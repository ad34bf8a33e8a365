import type { Checkpoint } from "../../engine/files/index.ts";
import { OptionError, ShapeError } from "../../engine/index.ts";
import { type LayerScale, type VitConfig, vitConfig } from "../vit_config.ts";
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
import { headsNote, type StoredConfig, storedConfig } from "./encoder_config.ts";
import { IncompleteWeightsError } from "./errors.ts";
import {
  checkShapes,
  positionsName,
  refuseIncomplete,
  shapesOf,
  startParameter,
  takeUnexpected,
} from "./expected_parameters.ts";
import { type LoadReport, some } from "./load_report.ts";
import { familyOf, roleOf } from "./name_maps.ts";
import { type PositionGrid, positionGrid } from "./position_grid.ts";
import { type SortedTensors, sortTensors } from "./sort_tensors.ts";
import { findStateDict, pathOf, type StateDict } from "./state_dict.ts";
import { refuseUnsupported, type StatedConfig, statedConfig } from "./stated_config.ts";

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
  /**
   * What to do with stored factors of LayerScale: `fold` multiplies them into the linear layers before them, `keep` makes them
   * parameters. The features are the same up to rounding. Default: fold, or keep for a file of this package that has them.
   */
  readonly layerScale?: "fold" | "keep";
  /** Accept parameters without stored values; they get start values (positions: sin-cos, row first). */
  readonly allowMissing?: boolean;
  /** Accept tensors that nothing is known about, and statements of the file about what the encoder cannot do. */
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
  const hasGains = sorted.gains.size > 0;
  const stated = statedConfig(checkpoint, hasGains, file);
  const warnings: string[] = [];
  const notes: string[] = [];
  const read = checkedReader(checkpoint, warnings);
  const patchWeight = dict.tensors.get(dict.anchor)?.shape ?? [];
  const [, , patchPixels = 1] = patchWeight;
  const classTokens = sorted.tokens.reduce((sum, token) => sum + countTokens(token, file), 0);
  const place =
    sorted.positions && positionGrid(sorted.positions, { ...options, patchPixels, classTokens, stated }, file);
  notes.push(...gridNotes(place, patchPixels, classTokens, dict.anchor));
  const layerScale = hasGains && keepsGains(stated, options) ? "parameters" : "none";
  const parameters = plainParameters(read, sorted, layerScale, file);
  if (hasGains && layerScale === "none")
    notes.push("LayerScale: multiplied into the layers before it (kept as parameters with --layer-scale keep)");
  await addPositions(read, parameters, sorted, place, options.classPosition ?? "exact", notes);
  const config = storedConfig(
    stated,
    {
      patchWeight,
      mlpWidth: parameters.get("blocks.0.mlp.fc1.weight")?.shape[0],
      blocks: countBlocks(parameters.keys(), file),
      classTokens,
      isPostnorm: parameters.has("embed_norm.weight"),
      isTransformers: dict.anchor.startsWith("embeddings"),
      place: pathOf(dict, ""),
      hasGains,
    },
    place,
    layerScale,
    options,
    file,
  );
  notes.push(...headsNote(config, stated, options));
  for (const warning of refuseUnsupported(stated, options, file)) warnings.push(warning);
  passOver(dict, notes, warnings, file);
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

/** What the shape of flat positions leaves open. */
function gridNotes(
  place: PositionGrid | undefined,
  patchPixels: number,
  classTokens: number,
  anchor: string,
): string[] {
  if (!place?.isGuess || place.rows * place.columns === 1) return [];
  const { rows, columns, leadingRows } = place;
  const isBare = leadingRows === 0 && classTokens > 0 && !anchor.startsWith("modality");
  return [
    `positions: taken as ${rows} x ${columns} patches${isBare ? " without a row for the class token" : ""}, a square of ${rows * patchPixels}x${columns * patchPixels} pixels, which is a guess; if that is wrong, give the resolution (--resolution)`,
  ];
}

/**
 * Tells what stands beside the parameters and cannot be read.
 *
 * @throws IncompleteWeightsError if it is a parameter
 */
function passOver(dict: StateDict, notes: string[], warnings: string[], file: string): void {
  const objects: string[] = [];
  for (const [name, reason] of dict.unreadable) {
    const role = roleOf(dict.anchor, name);
    if (role?.kind === "dropped") continue;
    if (role)
      throw new IncompleteWeightsError(
        `${file}: ${name} is ${reason}, which cannot be read; convert it to a plain tensor of floats where the file was made`,
        [name],
        [],
      );
    if (reason.startsWith("an object of")) objects.push(`${name}, ${reason}`);
    else warnings.push(`${name}: ${reason}, not read; if the encoder computes with it, the features are wrong`);
  }
  if (objects.length > 0)
    notes.push(
      `passed over ${objects.length} object${objects.length === 1 ? "" : "s"} of classes that are not known, which were not made: ${some(objects)}`,
    );
}

function keepsGains({ claims }: StatedConfig, { layerScale }: EncoderOptions): boolean {
  if (layerScale) return layerScale === "keep";
  return claims.some(({ key, value }) => key === "layerScale" && value === "parameters");
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

function plainParameters(
  read: ReadFloats,
  sorted: SortedTensors,
  layerScale: LayerScale,
  file: string,
): Map<string, StoredParameter> {
  const parameters = new Map<string, StoredParameter>();
  for (const [target, source] of sorted.direct) {
    const gain = sorted.gains.get(target.replace(/\.(weight|bias)$/, ""))?.source;
    const plain = whole(read, source);
    parameters.set(target, gain && layerScale === "none" ? folded(read, plain, gain, file) : plain);
  }
  if (layerScale === "parameters")
    for (const { target, source } of sorted.gains.values()) parameters.set(target, whole(read, source));
  for (const [target, thirds] of sorted.thirds) {
    // Several families store no key bias, since soft-max does not see it; a matrix needs all three.
    if (target.endsWith(".bias") || !thirds.includes(undefined)) parameters.set(target, merged(read, thirds));
  }
  return parameters;
}

/** @throws IncompleteWeightsError if there are not as many factors as the layer has rows */
function folded(read: ReadFloats, layer: StoredParameter, gain: Source, file: string): StoredParameter {
  const [rows = 0] = layer.shape;
  if (String(gain.shape) === String(rows)) return scaled(read, layer, gain);
  throw new IncompleteWeightsError(
    `${file}: ${gain.path} is [${gain.shape}], expected [${rows}]; the file is damaged or of another architecture`,
    [],
    [],
  );
}

/** Adds positions, and the tokens with the leading rows of the positions that belong to them. */
async function addPositions(
  read: ReadFloats,
  parameters: Map<string, StoredParameter>,
  { positions: source, tokens: leading }: SortedTensors,
  place: PositionGrid | undefined,
  classPosition: "exact" | "as-published",
  notes: string[],
): Promise<void> {
  let added: LeadingRows | undefined;
  if (source && place) {
    const { rows, columns, leadingRows } = place;
    const width = source.shape.at(-1) ?? 1;
    parameters.set(positionsName, grid(read, source, [1, rows, columns, width], leadingRows));
    if (leadingRows > 0) added = await leadingPositions(read, source, leadingRows * width, classPosition, notes);
  }
  if (leading.length > 0) parameters.set("cls_tokens.tokens", tokens(read, leading, added));
}

interface LeadingRows {
  readonly path: string;
  readonly rows: Float32Array;
}

/** The leading rows of the positions where they are to be added to the tokens. */
async function leadingPositions(
  read: ReadFloats,
  { path }: Source,
  count: number,
  classPosition: "exact" | "as-published",
  notes: string[],
): Promise<LeadingRows | undefined> {
  const rows = (await read(path)).slice(0, count);
  const isZero = rows.every((value) => value === 0);
  const isAdded = !isZero && classPosition === "exact";
  const unchanged = isZero
    ? "is zero and was taken off"
    : "was dropped, as the published loader does; this changes the model";
  const exact = "was added to the class token, which is exact (the published loader drops it)";
  notes.push(`positions: the class row ${isAdded ? exact : unchanged}`);
  return isAdded ? { path, rows } : undefined;
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

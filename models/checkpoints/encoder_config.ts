import type { Checkpoint, PlainValue } from "../../engine/files/index.ts";
import { OptionError, ShapeError } from "../../engine/index.ts";
import { type VitConfig, vitPresets } from "../config.ts";
import { UnknownModelError } from "./errors.ts";

/** A config whose number of heads may be unknown: weights do not show it. */
export type StoredConfig = Omit<VitConfig, "heads"> & { readonly heads?: number };

/** Key of the metadata under which safetensors files of this package hold the config. */
export const configKey = "mimrefine.config";

/** What the tensors themselves show. */
export interface Sizes {
  readonly patchWeight: readonly number[];
  readonly mlpWidth: number | undefined;
  readonly blocks: number;
  readonly classTokens: number;
  readonly isPostnorm: boolean;
  readonly isTransformers: boolean;
}

/** The patch grid of stored positions, and how many leading rows stand before it. */
export interface PositionGrid {
  readonly rows: number;
  readonly columns: number;
  readonly leadingRows: number;
}

/** The config of a stored encoder from its shapes, and from what the file says about itself. */
export function storedConfig(
  checkpoint: Checkpoint,
  sizes: Sizes,
  positions: PositionGrid | undefined,
  options: { readonly heads?: number; readonly epsilon?: number },
): StoredConfig {
  const [width = 0, channels = 0, patchPixels = 0, patchColumns] = sizes.patchWeight;
  if (sizes.patchWeight.length !== 4 || patchColumns !== patchPixels) {
    throw new UnknownModelError(
      `load: the patch embedding has shape [${sizes.patchWeight}], expected [width, channels, patch, patch]; video models and patches that are not square are not supported`,
    );
  }
  const stated = statedValues(checkpoint);
  const heads = options.heads ?? stated.heads ?? headsOfWidth(width);
  if (heads !== undefined && (!Number.isInteger(heads) || heads < 1 || width % heads !== 0)) {
    throw new OptionError(`load: ${heads} heads do not divide the width ${width}; give the number of heads (--heads)`);
  }
  const side = Math.floor(224 / patchPixels); // where no positions are stored: the resolution of all presets
  const { rows, columns } = positions ?? { rows: side, columns: side };
  return {
    kind: sizes.isPostnorm ? "postnorm" : "prenorm",
    patchPixels,
    width,
    blocks: sizes.blocks,
    ...(heads === undefined ? {} : { heads }),
    mlpWidth: sizes.mlpWidth ?? 4 * width,
    channels,
    heightPixels: rows * patchPixels,
    widthPixels: columns * patchPixels,
    classTokens: sizes.classTokens,
    // transformers' ViTConfig has layer_norm_eps 1e-12, all others 1e-6.
    epsilon: options.epsilon ?? stated.epsilon ?? (sizes.isTransformers ? 1e-12 : 1e-6),
  };
}

/** Heads of the published models by width; other widths have no usual number. */
function headsOfWidth(width: number): number | undefined {
  return Object.values(vitPresets).find((preset) => preset.width === width)?.heads;
}

/**
 * The grid of stored positions: `[1, rows, columns, D]`, or flat with leading rows for the class tokens.
 *
 * @throws ShapeError if a flat table is no square grid and the file does not state another one
 */
export function positionGrid(
  checkpoint: Checkpoint,
  path: string,
  shape: readonly number[],
  sizes: Pick<Sizes, "classTokens" | "patchWeight">,
): PositionGrid {
  const [, rows = 0, columns = 0] = shape;
  if (shape.length === 4) return { rows, columns, leadingRows: 0 };
  const [count = 0] = shape.slice(-2);
  const stated = statedValues(checkpoint);
  const patch = sizes.patchWeight[2] ?? 1;
  for (const leadingRows of [...new Set([sizes.classTokens, Math.min(1, sizes.classTokens), 0])]) {
    const cells = count - leadingRows;
    const side = Math.round(Math.sqrt(cells));
    const height = (stated.heightPixels ?? 0) / patch;
    const width = (stated.widthPixels ?? 0) / patch;
    if (height * width === cells && cells > 0) return { rows: height, columns: width, leadingRows };
    if (side * side === cells && side > 0) return { rows: side, columns: side, leadingRows };
  }
  throw new ShapeError(
    `load: ${path} has ${count} rows, which with ${sizes.classTokens} class tokens are no square grid; convert it with the resolution stated`,
  );
}

interface Stated {
  readonly heads?: number;
  readonly epsilon?: number;
  readonly heightPixels?: number;
  readonly widthPixels?: number;
}

/** What a file says about its model: this package's metadata, or the arguments that the authors store. */
function statedValues(checkpoint: Checkpoint): Stated {
  const json = checkpoint.metadata.get(configKey);
  if (json !== undefined) return fromMetadata(json);
  const plain = (...names: readonly string[]): number | undefined =>
    names
      .map((name) => asNumber(checkpoint.plainValues.get(`ctor_kwargs/${name}`)))
      .find((value) => value !== undefined);
  return {
    heads: plain("num_heads", "num_attn_heads"),
    epsilon: plain("eps"),
    heightPixels: plain("input_shape/1"),
    widthPixels: plain("input_shape/2"),
  };
}

function asNumber(value: PlainValue | undefined): number | undefined {
  const number = typeof value === "bigint" ? Number(value) : value;
  return typeof number === "number" && Number.isFinite(number) ? number : undefined;
}

function fromMetadata(json: string): Stated {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch {
    throw new OptionError(`load: the metadata ${configKey} is not JSON; remove it or convert the file again`);
  }
  const number = (name: string): number | undefined =>
    typeof value === "object" && value !== null
      ? Object.entries(value).flatMap(([key, item]) => (key === name && typeof item === "number" ? [item] : []))[0]
      : undefined;
  return {
    heads: number("heads"),
    epsilon: number("epsilon"),
    heightPixels: number("heightPixels"),
    widthPixels: number("widthPixels"),
  };
}

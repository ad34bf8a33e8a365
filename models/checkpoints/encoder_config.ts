import type { Checkpoint, PlainValue } from "../../engine/files/index.ts";
import { OptionError, ShapeError } from "../../engine/index.ts";
import { type VitConfig, vitPresets } from "../vit_config.ts";
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
  file: string,
): StoredConfig {
  const [width = 0, channels = 0, patchPixels = 0, patchColumns] = sizes.patchWeight;
  if (sizes.patchWeight.length !== 4 || patchColumns !== patchPixels || sizes.patchWeight.includes(0)) {
    throw new UnknownModelError(
      `${file}: the patch embedding has shape [${sizes.patchWeight}], expected [width, channels, patch, patch]; video models and patches that are not square are not supported`,
    );
  }
  if (sizes.blocks < 1)
    throw new UnknownModelError(
      `${file}: a patch embedding, but no blocks (blocks.0.…); give the checkpoint of a plain ViT`,
    );
  const stated = statedValues(checkpoint, file);
  const heads = options.heads ?? stated.heads ?? headsOfWidth(width);
  if (heads !== undefined && (!Number.isInteger(heads) || heads < 1 || width % heads !== 0)) {
    throw new OptionError(
      `${file}: ${heads} attention heads do not divide the width ${width}; give a divisor of it (--attention-heads)`,
    );
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
    epsilon: options.epsilon ?? stated.epsilon ?? (sizes.isTransformers ? 1e-12 : defaultEpsilon),
  };
}

/** What readers take where a file does not tell the epsilon of the norms: the authors', MAE's and timm's value. */
export const defaultEpsilon = 1e-6;

/** Heads of the published models by width; other widths have no usual number. */
export function headsOfWidth(width: number): number | undefined {
  return Object.values(vitPresets).find((preset) => preset.width === width)?.heads;
}

/**
 * The grid of stored positions: `[1, rows, columns, D]`, or flat with leading rows for the class tokens.
 *
 * @throws ShapeError if it is neither, does not fit the resolution that is asked for, or is no square grid where none is known
 */
export function positionGrid(
  checkpoint: Checkpoint,
  stored: { readonly path: string; readonly shape: readonly number[] },
  sizes: Pick<Sizes, "classTokens" | "patchWeight">,
  options: { readonly resolution?: readonly [heightPixels: number, widthPixels: number] },
  file: string,
): PositionGrid {
  const { path, shape } = stored;
  const patch = sizes.patchWeight[2] ?? 1;
  const gridOf = (pixels: readonly (number | undefined)[]) => pixels.map((side = 0) => side / patch);
  const asked = options.resolution && gridOf(options.resolution);
  const [, rows = 0, columns = 0] = shape;
  if (shape.length < 2 || shape.length > 4 || (shape.length > 2 && shape[0] !== 1))
    throw new ShapeError(
      `${file}: ${path} is [${shape}], expected [1, rows, columns, width] or [1, tokens, width]; the file is damaged or of another architecture`,
    );
  if (shape.length === 4) {
    if (!asked || (asked[0] === rows && asked[1] === columns)) return { rows, columns, leadingRows: 0 };
    throw new ShapeError(
      `${file}: ${path} is a grid of ${rows} x ${columns} patches of ${patch} pixels, not of ${options.resolution?.join("x")} pixels; leave out the resolution (--resolution), or give ${rows * patch}x${columns * patch}`,
    );
  }
  const [count = 0] = shape.slice(-2);
  const { heightPixels, widthPixels } = statedValues(checkpoint, file);
  const [height = 0, width = 0] = asked ?? gridOf([heightPixels, widthPixels]);
  for (const leadingRows of [...new Set([sizes.classTokens, Math.min(1, sizes.classTokens), 0])]) {
    const cells = count - leadingRows;
    if (cells < 1) continue;
    const side = Math.round(Math.sqrt(cells));
    if (height * width === cells && Number.isInteger(height) && Number.isInteger(width))
      return { rows: height, columns: width, leadingRows };
    if (!asked && side * side === cells) return { rows: side, columns: side, leadingRows };
  }
  const misfit = asked
    ? `are not the ${height} x ${width} patches of ${options.resolution?.join("x")} pixels`
    : "are no square grid";
  throw new ShapeError(
    `${file}: ${path} has ${count} rows, which with ${sizes.classTokens} class tokens and patches of ${patch} pixels ${misfit}; give the resolution that it belongs to (--resolution HEIGHTxWIDTH)`,
  );
}

interface Stated {
  readonly heads?: number;
  readonly epsilon?: number;
  readonly heightPixels?: number;
  readonly widthPixels?: number;
}

/** What a file says about its model: this package's metadata, or the arguments that the authors store. */
function statedValues(checkpoint: Checkpoint, file: string): Stated {
  const json = checkpoint.metadata.get(configKey);
  if (json !== undefined) return fromMetadata(json, file);
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

function fromMetadata(json: string, file: string): Stated {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch {
    throw new OptionError(`${file}: the metadata ${configKey} is not JSON; remove it or convert the file again`);
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

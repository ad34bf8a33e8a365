import type { DType } from "../core/dtype.ts";
import { OptionError } from "../core/errors.ts";
import type { Program } from "../core/program.ts";
import type { Device } from "../run/device.ts";
import { type MatmulVariant, matmulVariants, minSplitDepth, type ProductShape } from "./matmul_kernels.ts";

/** The variant that the device takes for a product: forced, measured, or by the built-in table. */
export function chooseVariant(
  device: Device,
  shape: ProductShape,
  dtype: DType,
  example: (program: Program, variant: MatmulVariant) => void,
): MatmulVariant {
  const runnable = matmulVariants.filter((variant) => variant.unsupported(device, shape) === undefined);
  const preferred = defaultOrder(device, shape, runnable);
  const shapeClass = shapeClassOf(shape) + (dtype === "f32" ? "" : ` ${dtype}`);
  const find = (name: string): MatmulVariant => {
    const found = runnable.find((variant) => variant.name === name);
    if (!found)
      throw new OptionError(
        `matmul: no variant ${name} runs here; choose from ${runnable.map((v) => v.name).join(", ")}`,
      );
    return found;
  };
  const names = preferred.map((variant) => variant.name);
  // Only preferred variants are worth a measurement; a caller may still force any other that runs.
  device.choose("matmul", shapeClass, names, (program, name) => example(program, find(name)));
  const others = runnable.map((variant) => variant.name).filter((name) => !names.includes(name));
  return find(device.choose("matmul", shapeClass, [...names, ...others]));
}

/**
 * Variants worth trying, best guess first. Measured on lavapipe with test/bench/matmul: subgroup tiles are two to five times
 * as fast as the others there; on GPUs shared tiles have the best ratio of arithmetic to loads.
 */
export function defaultOrder(
  device: Device,
  shape: ProductShape,
  runnable: readonly MatmulVariant[],
): readonly MatmulVariant[] {
  const names = device.isSoftware ? ["subgroup", "register"] : gpuOrder(shape);
  const tilings = names.flatMap((name) => runnable.filter((variant) => variant.name === name)).slice(0, 2);
  const [first] = tilings;
  if (!first || !isSkinny(device, first, shape)) return tilings;
  const split = runnable.find((variant) => variant.name === `${first.name}_split`);
  return split ? [split, ...tilings] : tilings;
}

function gpuOrder({ rows, columns, batches }: ProductShape): string[] {
  const largeTiles = Math.ceil(rows / 128) * Math.ceil(columns / 128) * batches;
  // Below about one large tile per multiprocessor of a mid-range GPU, smaller tiles use more of it.
  return largeTiles >= 64 ? ["shared_128", "shared_64"] : ["shared_64", "shared_128"];
}

/** Whether the tiles of the result leave much of the device idle while the depth is long. */
function isSkinny(device: Device, variant: MatmulVariant, shape: ProductShape): boolean {
  return tilesOf(device, variant, shape) * 2 <= wantedTiles(device) && shape.depth >= 16 * minSplitDepth;
}

/** Parts of the depth that give every core or multiprocessor work. */
export function splitsOf(device: Device, variant: MatmulVariant, shape: ProductShape): number {
  if (!variant.split) return 1;
  const most = Math.ceil(shape.depth / minSplitDepth);
  return Math.min(most, Math.max(2, Math.ceil(wantedTiles(device) / tilesOf(device, variant, shape))));
}

function wantedTiles(device: Device): number {
  return device.isSoftware ? 8 : 128; // a few per core of a small CPU; one per multiprocessor of a large GPU
}

function tilesOf(device: Device, variant: MatmulVariant, { rows, columns, batches }: ProductShape): number {
  const [tileRows, tileColumns] = variant.tile(device);
  return Math.ceil(rows / tileRows) * Math.ceil(columns / tileColumns) * batches;
}

/** Shapes whose lengths round up to the same powers of two share one measurement. */
function shapeClassOf({ rows, columns, depth, batches }: ProductShape): string {
  const bucket = (length: number): number => 2 ** Math.ceil(Math.log2(length));
  return `${bucket(rows)}x${bucket(depth)}x${bucket(columns)} batch ${bucket(batches)}`;
}

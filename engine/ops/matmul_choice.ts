import type { DType } from "../core/dtype.ts";
import type { Device } from "../core/recording.ts";
import { bucket } from "./choose_variant.ts";
import { type MatmulVariant, matmulVariants, minSplitDepth, type ProductShape, pinnedLanes } from "./matmul_kernels.ts";
import { matrixCandidates } from "./products/matrix_choice.ts";

/** Variants that are measured for one class of shapes: a measurement compiles each of them. */
const mostCandidates = 4;

/**
 * Variants worth trying, best guess first. Measured on lavapipe with test/bench/matmul: subgroup tiles are two to five times
 * as fast as the others there; on GPUs shared tiles have the best ratio of arithmetic to loads.
 */
export function productOrder(device: Device, shape: ProductShape): readonly string[] {
  const matrices = matrixCandidates(device, shape.dtype ?? "f32", shape);
  const names = device.isSoftware
    ? [...softwareOrder(device, shape), ...matrices]
    : [...matrices, ...gpuOrder(device, shape)];
  const [first] = names
    .flatMap((name) => matmulVariants.filter((variant) => variant.name === name))
    .filter((variant) => variant.unsupported(device, shape) === undefined);
  const all = first && isSkinny(device, first, shape) ? [`${first.name}_split`, ...names] : names;
  return all.slice(0, mostCandidates);
}

/** Tiles of 32 rows load B half as often, and take twice as long to compile; both give the same bits. */
function softwareOrder(device: Device, { rows }: ProductShape): string[] {
  // In the reproducible mode 16 rows leave registers for what stands between products and sums.
  if ((device.subgroupSize ?? 0) < 8 || rows < 256 || device.reproducible) return ["subgroup", "register"];
  return ["subgroup_32", "subgroup"];
}

/** Below about one large tile per multiprocessor of a mid-range GPU, smaller tiles use more of it. */
function isLarge({ rows, columns, batches }: ProductShape): boolean {
  return Math.ceil(rows / 128) * Math.ceil(columns / 128) * batches >= 64;
}

/** Reckoned from loads per multiply-add, not measured on a GPU. */
function gpuOrder(device: Device, shape: ProductShape): string[] {
  const shared = isLarge(shape)
    ? ["shared_128", "shared_64", "shared_128x64"]
    : ["shared_64", "shared_128", "shared_32"];
  return [...shared, subgroupTile(device)];
}

/** The smallest subgroups that a kernel can have: their tiles of 16 rows are narrow, and there are more of them. */
function subgroupTile({ subgroupRange: [least, most] = [0, 0] }: Device): string {
  const lanes = pinnedLanes.find((size) => least <= size && size <= most);
  return lanes === undefined ? "subgroup" : `pinned_${lanes}`;
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

function tilesOf(
  device: Device,
  variant: MatmulVariant,
  { rows, columns, batches, dtype = "f32" }: ProductShape,
): number {
  const [tileRows, tileColumns] = variant.tile(device, dtype);
  return Math.ceil(rows / tileRows) * Math.ceil(columns / tileColumns) * batches;
}

export function productClass({ rows, columns, depth, batches }: ProductShape, dtype: DType): string {
  const lengths = `${bucket(rows)}x${bucket(depth)}x${bucket(columns)} batch ${bucket(batches)}`;
  return dtype === "f32" ? lengths : `${lengths} ${dtype}`;
}

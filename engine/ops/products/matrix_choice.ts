import type { DType } from "../../core/dtype.ts";
import type { MatrixTiling } from "./matrix_tiling.ts";
import { type MatrixHost, matrixTilingOn, matrixVariants } from "./matrix_variants.ts";

/** Forms that are measured for one class of shapes; a measurement compiles each of them. */
const mostForms = 2;

/**
 * A GPU to reckon with, per multiprocessor, between an NVIDIA A10 and an A100 (their white papers). Not measured: the tuner decides
 * between the forms that come out.
 */
const gpu = {
  multiprocessors: 96,
  registers: 65536,
  memoryBytes: 100 * 1024,
  /** Subgroups that hide each other's waits. */
  busySubgroups: 8,
  /** Multiply-adds of f16 matrices in the time of one element from workgroup memory (1024 a clock to 64), and from the cache behind. */
  sharedLoad: 16,
  distantLoad: 40,
  /** Registers of an invocation beside those of its matrices. */
  otherRegisters: 40,
} as const;

interface Sizes {
  readonly rows: number;
  readonly columns: number;
  readonly batches: number;
}

/**
 * The forms of matrices that are worth a measurement for a product on this device, best guess first: of all that run here the one with the
 * least predicted time, and the best with a tile of another size. At most two.
 */
export function matrixCandidates(device: MatrixHost, dtype: DType, sizes: Sizes): string[] {
  const fitting = matrixVariants
    .filter(({ sums }) => sums === "f32")
    .flatMap((variant) => {
      const tiling = matrixTilingOn(variant, device, dtype);
      return typeof tiling === "string" ? [] : [{ name: variant.name, tiling, cost: predictedCost(tiling, sizes) }];
    })
    .filter(({ cost }) => Number.isFinite(cost))
    .sort((one, other) => one.cost - other.cost);
  const chosen: typeof fitting = [];
  for (const candidate of fitting) {
    const area = areaOf(candidate.tiling);
    if (chosen.length < mostForms && chosen.every(({ tiling }) => areaOf(tiling) !== area)) chosen.push(candidate);
  }
  return chosen.map(({ name }) => name);
}

function areaOf({ tile }: MatrixTiling): number {
  return tile[0] * tile[1];
}

/** Time of a step of the depth, in multiply-adds of one multiprocessor; infinite where no workgroup fits. */
function predictedCost(tiling: MatrixTiling, { rows, columns, batches }: Sizes): number {
  const { subgroups, matrices, shape, tile, invocations, memoryBytes, subgroupSize } = tiling;
  const count = subgroups[0] * subgroups[1];
  const [down, across] = [matrices[0] * shape.rows, matrices[1] * shape.columns]; // of one subgroup
  const bytes = shape.component === "f32" ? 4 : 2;
  const held = down * across + ((down + across) * shape.depth * bytes) / 4;
  const registers = held / subgroupSize + gpu.otherRegisters;
  const fits = Math.min(
    Math.floor(gpu.registers / (registers * invocations)),
    Math.floor(gpu.memoryBytes / memoryBytes),
  );
  if (fits < 1) return Number.POSITIVE_INFINITY;
  const groups = Math.ceil(rows / tile[0]) * Math.ceil(columns / tile[1]) * batches;
  const groupsEach = Math.ceil(groups / gpu.multiprocessors);
  const busy = Math.min(1, (Math.min(fits, groupsEach) * count) / gpu.busySubgroups);
  const loads = gpu.sharedLoad * (1 / down + 1 / across) + gpu.distantLoad * (1 / tile[0] + 1 / tile[1]);
  return (groupsEach * count * down * across * (1 + loads)) / busy;
}

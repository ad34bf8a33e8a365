import type { Declarations } from "../core/kernel.ts";
import type { Device } from "../core/recording.ts";
import { bucket, type Variant } from "./choose_variant.ts";
import { foldGrid } from "./grid.ts";

/** How a kernel divides the columns of a matrix over workgroups that see all rows. */
export interface ColumnLaunch {
  /** Columns in Elements of four numbers, or one where four do not divide them. */
  readonly count: number;
  readonly workgroups: readonly number[];
  readonly declarations: Declarations;
}

/** A matrix whose columns an operation works along. */
export interface ColumnProblem {
  readonly rows: number;
  readonly columns: number;
}

export interface ColumnVariant extends Variant<ColumnProblem> {
  /** Threads per workgroup. */
  readonly lanes: number;
  /** How many of them share a column. */
  readonly team: number;
}

export const columnVariants: readonly ColumnVariant[] = [
  { name: "team1", lanes: 64, team: 1 },
  { name: "team8", lanes: 64, team: 8 },
  { name: "team32", lanes: 256, team: 32 },
];

/** CPUs want no barriers (0.30 ms against 0.51 for 64 × 1024 on lavapipe), GPUs many threads. */
export function columnOrder({ isSoftware }: { readonly isSoftware: boolean }): readonly string[] {
  return isSoftware ? ["team1", "team8", "team32"] : ["team8", "team32", "team1"];
}

/** Down the columns the canonical order is that of the rows. */
export function columnDeviates({ team }: ColumnVariant): string | undefined {
  return team === 1 ? undefined : `it adds the shares of ${team} threads as a tree`;
}

export function columnClass({ rows, columns }: ColumnProblem): string {
  return `rows ${bucket(rows)} columns ${columns}`;
}

/** The launch for a matrix of so many columns. */
export function columnLaunch(device: Device, { lanes, team }: ColumnVariant, columns: number): ColumnLaunch {
  const wide = columns % 4 === 0;
  const count = wide ? columns / 4 : columns;
  return {
    count,
    workgroups: foldGrid(device, Math.ceil((count * team) / lanes)),
    declarations: { Element: wide ? "vec4f" : "f32", lanes: `${lanes}u`, team: `${team}u` },
  };
}

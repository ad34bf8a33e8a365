import type { DType, Shape, Tensor } from "../../engine/index.ts";
import type { StateArena } from "./offload/streamed_step.ts";

/** State of a run: arenas by the prefix of their tensors' names, and single tensors by name. */
export interface RunState {
  readonly arenas: Readonly<Record<string, StateArena>>;
  readonly tensors: Readonly<Record<string, Tensor>>;
  /** Loss scale of a run in f16, by its name: missing in checkpoints that were written in f32, and then left as it is. */
  readonly lossScale?: Readonly<Record<string, Tensor>>;
  /** Of all ranks together, in the order of one process; where there are several, of which this one holds a part. */
  readonly whole?: readonly StateEntry[];
}

/** A tensor of a run's state, by the name that it has in checkpoints. */
export interface StateEntry {
  readonly name: string;
  readonly shape: Shape;
  readonly dtype: DType;
  /** The rank that holds it; undefined for what all hold. */
  readonly owner?: number;
}

/** Counters and settings that stand in a run checkpoint's metadata. */
export type RunCheckpointMetadata = Readonly<Record<string, string>>;

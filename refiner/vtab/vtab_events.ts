import type { TrainingEvent } from "../training/training_events.ts";
import type { VtabRun, VtabRunName } from "./vtab_results.ts";

/** What is told on the way. */
export type VtabEvent =
  | { readonly kind: "update"; readonly run: VtabRunName; readonly update: number; readonly of: number }
  /** A run is finished; `wasKept` where an earlier process did it. */
  | { readonly kind: "run"; readonly run: VtabRun; readonly updates: number; readonly wasKept: boolean }
  | Exclude<TrainingEvent, { readonly kind: "checkpoint" }>;

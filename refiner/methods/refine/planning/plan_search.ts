import type { Device } from "../../../../engine/index.ts";
import type { VitConfig } from "../../../../models/index.ts";
import { fixedPart } from "../../fixed_parts.ts";
import { withinLimits } from "../../plan_limits.ts";
import type { RefineConfig } from "../refine_config.ts";
import { trainedBlocks } from "../stage_optimizers.ts";
import { type DryRun, dryRun } from "./dry_run.ts";
import { assumedRates } from "./planned_work.ts";

export type Change = Partial<RefineConfig>;

/** A change that makes a plan fit, with the plan that it leads to. */
export interface FittingChange {
  readonly change: Change;
  readonly plan: DryRun;
  /** Work per update relative to the configuration as it is. */
  readonly relativeFlops: number;
}

/** What to plan, and what it is to fit into. */
export interface PlanTask {
  readonly device: Device;
  readonly vit: VitConfig;
  readonly config: RefineConfig;
  readonly images: number;
  readonly memoryBytes: number;
  /** Processes that share the batch, of which the first, which has most to do, is planned. Default 1 */
  readonly ranks?: number | undefined;
  /** Micro-batches to choose from; default: the powers of two below the batch, or the part that gradients are summed over. */
  readonly sizes?: readonly number[];
}

/** So many times larger micro-batches are weighed against recomputing some blocks for them. */
const largerSizes = [2, 4];
/** Where no micro-batch fits with all blocks kept. */
const smallestSizes = [1, 2, 4, 8, 16];

/** Looks for the fastest exact way to fit: micro-batch, state on the host, blocks that are recomputed. Every plan is made, none estimated. */
export class PlanSearch {
  leastBytes = Number.POSITIVE_INFINITY;
  readonly #whole: number;
  readonly #sizes: readonly number[];
  /** Plans by the change that they are for. */
  readonly #plans = new Map<string, DryRun | undefined>();

  constructor(readonly task: PlanTask) {
    const { ranks = 1 } = task;
    const part = fixedPart("refine", { ...task.config, microBatch: 0 }, { ranks });
    this.#sizes = task.sizes ?? (part === undefined ? powersBelow(task.config.batch / ranks) : [part]);
    this.#whole = this.planOf({ microBatch: this.#sizes[0] ?? 1 })?.flopsPerUpdate ?? Number.NaN;
  }

  /** The fastest way to fit with this change; undefined if there is none. */
  cheapest(change: Change): FittingChange | undefined {
    const ways = offloads({ ...this.task.config, ...change }).flatMap((offload) =>
      this.#ways({ ...change, ...offload }),
    );
    return ways.sort((a, b) => a.plan.predictedSeconds - b.plan.predictedSeconds)[0];
  }

  /** The largest micro-batch that fits with all blocks kept, and larger ones for which some are recomputed. */
  #ways(change: Change): FittingChange[] {
    const kept = this.#largest(change);
    const { recompute } = { ...this.task.config, ...change };
    const sizes = kept === undefined ? smallestSizes : largerSizes.map((times) => times * kept);
    const ways = kept === undefined ? [] : [{ ...change, microBatch: kept }];
    if (!recompute)
      for (const microBatch of sizes.filter((size) => this.#sizes.includes(size))) {
        if (kept !== undefined && !this.#mayPay(change, kept, microBatch)) continue;
        const recomputed = this.#leastRecomputed({ ...change, microBatch });
        if (recomputed) ways.push({ ...change, microBatch, ...recomputed });
      }
    return ways.flatMap((way) => {
      const plan = this.planOf(way);
      return plan ? [{ change: way, plan, relativeFlops: plan.flopsPerUpdate / this.#whole }] : [];
    });
  }

  /** Activations grow in proportion to the micro-batch, so that plans of two sizes tell which others are worth one. */
  #largest(change: Change): number | undefined {
    const { memoryBytes } = this.task;
    const [first = 1, second = first] = this.#sizes;
    const bytesOf = (microBatch: number): number => this.#bytesOf({ ...change, microBatch });
    const [one, two] = [bytesOf(first), bytesOf(second)];
    if (!(one <= memoryBytes)) return undefined;
    const perImage = Math.max(1, (two - one) / Math.max(1, second - first));
    const likely = this.#sizes.filter((size) => one + (size - first) * perImage * 0.9 <= memoryBytes);
    return likely.reverse().find((size) => bytesOf(size) <= memoryBytes) ?? first;
  }

  /** Whether the launches that larger micro-batches save could take longer than a block does that is recomputed for them. */
  #mayPay({ offload: _, ...change }: Change, kept: number, larger: number): boolean {
    const launches = this.planOf({ ...change, microBatch: kept })?.dispatchesPerUpdate ?? 0;
    const saved = launches * assumedRates.secondsPerLaunch * (1 - kept / larger);
    return saved > this.#secondsPerBlock(change);
  }

  #secondsPerBlock(change: Change): number {
    const microBatch = this.#sizes[0] ?? 1;
    const flopsOf = (own: Change): number =>
      this.planOf({ ...change, microBatch, ...own })?.flopsPerUpdate ?? Number.NaN;
    return (flopsOf({ recompute: true }) - flopsOf({})) / this.#blocks(change) / assumedRates.flopsPerSecond;
  }

  #blocks(change: Change): number {
    return trainedBlocks({ ...this.task.config, ...change }, this.task.vit.blocks).length;
  }

  /** As few blocks recomputed as it takes to fit, by halving: each more saves memory, if not as much as the one before. */
  #leastRecomputed(change: Change): Change | undefined {
    const { memoryBytes } = this.task;
    if (!(this.#bytesOf({ ...change, recompute: true }) <= memoryBytes)) return undefined;
    let [tooFew, enough] = [0, this.#blocks(change)];
    const all = enough;
    while (enough - tooFew > 1) {
      const recomputeBlocks = Math.floor((tooFew + enough) / 2);
      if (this.#bytesOf({ ...change, recomputeBlocks }) <= memoryBytes) enough = recomputeBlocks;
      else tooFew = recomputeBlocks;
    }
    return enough < all ? { recomputeBlocks: enough } : { recompute: true };
  }

  /** Where moments and average lie does not change the programs, so that it takes one plan, whatever the size of the micro-batch. */
  #bytesOf(change: Change): number {
    const { offload, ...other } = change;
    const moves = offload !== undefined && !offload.includes("weights");
    const plan = this.planOf(moves ? other : change);
    const bytes = plan ? plan.memory.total - (moves ? this.#movedBytes(change) : 0) : Number.POSITIVE_INFINITY;
    this.leastBytes = Math.min(this.leastBytes, bytes);
    return bytes;
  }

  #movedBytes({ offload, ...other }: Change): number {
    const small = { ...other, microBatch: this.#sizes[0] ?? 1, recomputeBlocks: 0 };
    const here = this.planOf(small);
    const moved = this.planOf({ ...small, ...(offload ? { offload } : {}) });
    return here && moved ? here.memory.total - moved.memory.total : 0;
  }

  planOf(change: Change): DryRun | undefined {
    const key = JSON.stringify(Object.entries(change).sort());
    if (!this.#plans.has(key)) {
      const { device, vit, config, images, ranks = 1 } = this.task;
      this.#plans.set(
        key,
        withinLimits(() => dryRun(device, vit, { ...config, ...change }, images, 3, { ranks })),
      );
    }
    return this.#plans.get(key);
  }
}

/** What may lie on the host beside what does already, least first. */
function offloads({ offload, precision, teacherFactor }: RefineConfig): Change[] {
  const steps: RefineConfig["offload"][] = [["moments"], ["moments", "average"]];
  if (precision === "f16" && teacherFactor === 0) steps.push(["moments", "average", "weights"]);
  const more = steps.filter(
    (step) => step.some((what) => !offload.includes(what)) && offload.every((what) => step.includes(what)),
  );
  return [{}, ...more.map((step) => ({ offload: step }))];
}

function powersBelow(batch: number): number[] {
  const sizes: number[] = [];
  for (let size = 1; size < batch; size *= 2) sizes.push(size);
  return sizes.length > 0 ? sizes : [1];
}

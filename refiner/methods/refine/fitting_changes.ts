import { type Device, OptionError } from "../../../engine/index.ts";
import type { VitConfig } from "../../../models/index.ts";
import { fixedPart } from "../fixed_parts.ts";
import { withinLimits } from "../plan_limits.ts";
import { type DryRun, dryRun } from "./dry_run.ts";
import type { RefineConfig } from "./refine_config.ts";

/** A change that makes a plan fit, with the plan that it leads to. */
export interface FittingChange {
  readonly change: Partial<RefineConfig>;
  readonly plan: DryRun;
  /** Work per update relative to the configuration as it is. */
  readonly relativeFlops: number;
}

type Change = Partial<RefineConfig>;

/** What to plan, and what it is to fit into. */
interface Task {
  readonly device: Device;
  readonly vit: VitConfig;
  readonly config: RefineConfig;
  readonly images: number;
  readonly memoryBytes: number;
}

/**
 * The cheapest changes that make stage 3 fit into `memoryBytes`, by the time that is predicted for an update: micro-batches, with
 * state on the host where that is needed, with blocks recomputed where nothing else helps; beside it the same in f16. Only where
 * neither fits: fewer heads, fewer blocks trained, no local views. Each is planned, not estimated.
 *
 * @returns exact ones first, then f16, then those that change the method; the fastest first
 * @throws OptionError if nothing helps, with the least that would be needed
 */
export function fittingChanges(
  device: Device,
  vit: VitConfig,
  config: RefineConfig,
  images: number,
  memoryBytes: number,
): FittingChange[] {
  const search = new Search({ device, vit, config, images, memoryBytes });
  const found: (FittingChange | undefined)[] = [search.cheapest({})];
  if (config.precision === "f32" && device.features.has("shader-f16"))
    found.push(search.cheapest({ precision: "f16" }));
  // Changes of the method are worth naming only where nothing else helps.
  if (!found.some((change) => change !== undefined))
    found.push(...methodChanges(config).map((other) => search.cheapest(other)));
  const changes = found.filter((change) => change !== undefined);
  if (changes.length === 0) {
    throw new OptionError(
      `refine: no micro-batch fits into ${memoryBytes} bytes; the least that was planned is ${search.leastBytes} bytes: use a smaller model, fewer heads, a shorter queue or a smaller batch`,
    );
  }
  return changes.sort((a, b) => changeKind(a) - changeKind(b) || a.plan.predictedSeconds - b.plan.predictedSeconds);
}

class Search {
  leastBytes = Number.POSITIVE_INFINITY;
  /** The least micro-batch: memory is that of a part where gradients are summed over fixed ones. */
  readonly #smallest: number;
  readonly #whole: number;
  /** Plans by the change that they are for. */
  readonly #plans = new Map<string, DryRun | undefined>();

  constructor(readonly task: Task) {
    this.#smallest = fixedPart("refine", { ...task.config, microBatch: 0 }) ?? 1;
    this.#whole = this.#planOf({ microBatch: this.#smallest })?.flopsPerUpdate ?? Number.NaN;
  }

  /** The fastest way to fit with this change: blocks are kept where that is possible, since to recompute them costs most. */
  cheapest(change: Change): FittingChange | undefined {
    const kept = this.#fastest(change);
    return (
      kept ??
      (change.recompute || this.task.config.recompute ? undefined : this.#fastest({ ...change, recompute: true }))
    );
  }

  #fastest(change: Change): FittingChange | undefined {
    const ways = offloads(this.task.config).flatMap((offload) => this.#fitting({ ...change, ...offload }) ?? []);
    return ways.sort((a, b) => a.plan.predictedSeconds - b.plan.predictedSeconds)[0];
  }

  /** With the largest micro-batch that fits. */
  #fitting(other: Change): FittingChange | undefined {
    const { config, memoryBytes } = this.task;
    const bytesOf = (size: number): number => this.#bytesOf(other, size);
    const microBatch = config.reproducible
      ? [this.#smallest].find((size) => bytesOf(size) <= memoryBytes)
      : largestMicroBatch(config.batch, bytesOf, memoryBytes);
    if (microBatch === undefined) return undefined;
    const change = { ...other, microBatch };
    const plan = this.#planOf(change);
    return plan && { change, plan, relativeFlops: plan.flopsPerUpdate / this.#whole };
  }

  /** Where state lies does not change the programs, so that it takes one plan, whatever the size of the micro-batch. */
  #bytesOf({ offload, ...other }: Change, microBatch: number): number {
    const plan = this.#planOf({ ...other, microBatch });
    const moved = offload === undefined ? 0 : this.#movedBytes({ ...other, offload });
    const bytes = plan ? plan.memory.total - moved : Number.POSITIVE_INFINITY;
    this.leastBytes = Math.min(this.leastBytes, bytes);
    return bytes;
  }

  #movedBytes({ offload, ...other }: Change): number {
    const least = { ...other, microBatch: this.#smallest };
    const here = this.#planOf(least);
    const moved = this.#planOf({ ...least, ...(offload ? { offload } : {}) });
    return here && moved ? here.memory.total - moved.memory.total : 0;
  }

  #planOf(change: Change): DryRun | undefined {
    const key = JSON.stringify(Object.entries(change).sort());
    if (!this.#plans.has(key)) {
      const { device, vit, config, images } = this.task;
      this.#plans.set(
        key,
        withinLimits(() => dryRun(device, vit, { ...config, ...change }, images, 3)),
      );
    }
    return this.#plans.get(key);
  }
}

/** What may lie on the host beside what does already, least first. */
function offloads({ offload }: RefineConfig): Change[] {
  const steps: RefineConfig["offload"][] = [["moments"], ["moments", "average"]];
  return [
    {},
    ...steps.filter((step) => step.some((what) => !offload.includes(what))).map((step) => ({ offload: step })),
  ];
}

/** Settings that leave the result as it is. */
const exactChanges: ReadonlySet<string> = new Set(["microBatch", "recompute", "offload"]);

/** 0 gives the same numbers, 1 rounds them to f16 on the way, 2 is another method. */
function changeKind({ change }: FittingChange): number {
  const others = Object.keys(change).filter((key) => !exactChanges.has(key));
  if (others.length === 0) return 0;
  return others.every((key) => key === "precision") ? 1 : 2;
}

/** What costs some of the method: fewer trained blocks, no local views, heads at the last half of the blocks that have one. */
function methodChanges({ heads, localViews }: RefineConfig): Partial<RefineConfig>[] {
  const fewer = heads.slice(Math.floor(heads.length / 2));
  return [
    { recompute: true, frozenShare: 0.5 },
    ...(localViews > 0 ? [{ recompute: true, localViews: 0 }] : []),
    ...(fewer.length < heads.length ? [{ recompute: true, heads: fewer }] : []),
  ];
}

/** Largest power of two below the batch whose plan fits, from plans of two sizes: activations grow in proportion to it. */
function largestMicroBatch(batch: number, bytesOf: (size: number) => number, memoryBytes: number): number | undefined {
  const sizes: number[] = [];
  for (let size = 1; size < batch; size *= 2) sizes.push(size);
  const [one, two] = [bytesOf(1), bytesOf(2)];
  if (!(one <= memoryBytes) || one === Number.POSITIVE_INFINITY) return undefined;
  const perImage = Math.max(1, two - one);
  for (const size of sizes.filter((candidate) => one + (candidate - 1) * perImage * 0.9 <= memoryBytes).reverse()) {
    if (bytesOf(size) <= memoryBytes) return size;
  }
  return 1;
}

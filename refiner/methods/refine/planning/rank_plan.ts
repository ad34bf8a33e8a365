import { ownerOf } from "../../../exchange/exchange.ts";
import { sharedTree } from "../../../exchange/tree_sum.ts";
import { MicroBatchStep } from "../micro_batch.ts";
import type { Stage } from "../stage.ts";
import { assumedRates } from "./planned_work.ts";

/** What several ranks send, and how long an update takes them. */
export interface RankPlan {
  readonly ranks: number;
  /** Bytes that the busiest rank sends in one update: as a ring does, 2 (N − 1) / N of the encoder's gradients. */
  readonly gradientBytes: number;
  /** The same of features on their way to the heads, and of their gradients on the way back. */
  readonly featureBytes: number;
  /** At a bandwidth, with the rates of `assumedRates`. */
  readonly expected?: ExpectedTime;
}

export interface ExpectedTime {
  /** Bytes per second that a rank sends while it receives as many. */
  readonly bytesPerSecond: number;
  readonly secondsPerUpdate: number;
  /** Of one process in micro-batches. */
  readonly secondsAlone: number;
  /** Seconds of one process / (ranks · seconds of each). */
  readonly efficiency: number;
  /** Twice as many ranks as these shorten an update by less than a tenth; undefined where that is not within the batch. */
  readonly mostUseful?: number;
}

/** A doubling that saves less does not help. */
const leastGain = 0.1;

/**
 * Plans the exchange of the busiest rank, which is the first: what is sent while the batch is worked on by `ranks`, and how long an update
 * takes then. Launches of smaller micro-batches are not foreseen: work scales by images and heads.
 *
 * @param stage - recorded for the first of so many ranks
 * @param bytesPerSecond - of a rank's connection, each way
 */
export function rankPlan(stage: Stage, ranks: number, bytesPerSecond?: number): RankPlan {
  const costs = new RankCosts(stage, ranks);
  const { gradients: gradientBytes, features: featureBytes } = costs.sent(ranks);
  if (bytesPerSecond === undefined) return { ranks, gradientBytes, featureBytes };
  const [secondsPerUpdate, secondsAlone] = [ranks, 1].map((count) => costs.seconds(count, bytesPerSecond));
  if (secondsPerUpdate === undefined || secondsAlone === undefined) throw new Error("two numbers give two times");
  const efficiency = secondsAlone / (ranks * secondsPerUpdate);
  const mostUseful = costs.mostUseful(bytesPerSecond);
  const expected = { bytesPerSecond, secondsPerUpdate, secondsAlone, efficiency };
  return { ranks, gradientBytes, featureBytes, expected: { ...expected, ...(mostUseful ? { mostUseful } : {}) } };
}

/** What an update costs the first of any number of ranks, from what was recorded for one number of them. */
class RankCosts {
  constructor(
    readonly stage: Stage,
    readonly recorded: number,
  ) {}

  get #batch(): number {
    return this.stage.config.batch;
  }

  #owned(ranks: number): number {
    const heads = this.stage.model.placed.length;
    return this.stage.model.placed.filter((_, head) => ownerOf(head, heads, ranks) === 0).length;
  }

  /** Bytes that the first rank sends. */
  sent(ranks: number): { readonly gradients: number; readonly features: number } {
    const { model, setup, encoder, config } = this.stage;
    const { globalViews, localViews } = setup.loss.layout;
    const views = globalViews + localViews + (setup.teacher?.encoder ? globalViews : 0);
    const imageBytes = 4 * views * model.encoder.config.width; // of one head
    const owned = this.#owned(ranks);
    const out = (model.placed.length - owned) * (this.#batch / ranks) * imageBytes;
    const back = owned * this.#batch * (1 - 1 / ranks) * imageBytes;
    const parts = setup.parts && this.#batch / setup.parts.size;
    const rounds = parts && parts % ranks === 0 ? sharedTree(parts, ranks).roots.map((roots) => roots.length) : [1];
    const passes = config.reproducible ? Math.max(...rounds) + 1 : 2;
    const arena = encoder?.optimizer.gradients.sizeBytes ?? 0;
    return {
      gradients: Math.round(passes * (1 - 1 / ranks) * arena),
      // In stage 2 nothing goes back: what the owner receives counts, where it is more.
      features: Math.round(encoder ? out + back : Math.max(out, back)),
    };
  }

  /** Of one update; gradients are read, sent and written piece by piece at the same time, features are not. */
  seconds(ranks: number, bytesPerSecond: number): number {
    const { stage, recorded } = this;
    if (!(stage.step instanceof MicroBatchStep)) throw new Error("several ranks work in micro-batches");
    const { images, heads, update } = stage.step.shares;
    const byImages = recorded / ranks;
    const byHeads = this.#owned(ranks) / Math.max(1, this.#owned(recorded));
    const flops = images.flops * byImages + heads.flops * byHeads + update.flops;
    const launches = images.dispatches * Math.max(byImages, 1 / this.#parts) + heads.dispatches * byHeads;
    const { flopsPerSecond, busBytesPerSecond, secondsPerLaunch } = assumedRates;
    const computed = flops / flopsPerSecond + (launches + update.dispatches) * secondsPerLaunch;
    if (ranks === 1) return computed;
    const { gradients, features } = this.sent(ranks);
    const moved = 2 * (stage.encoder?.optimizer.gradients.sizeBytes ?? 0);
    const summed = Math.max(gradients / bytesPerSecond, moved / busBytesPerSecond);
    return computed + summed + features / bytesPerSecond + (2 * features) / busBytesPerSecond;
  }

  /** Micro-batches of a rank. */
  get #parts(): number {
    return Math.ceil(this.#batch / this.recorded / this.stage.part);
  }

  mostUseful(bytesPerSecond: number): number | undefined {
    for (let ranks = 1; this.#batch % (2 * ranks) === 0; ranks *= 2) {
      const [now, doubled] = [ranks, 2 * ranks].map((count) => this.seconds(count, bytesPerSecond));
      if (now !== undefined && doubled !== undefined && doubled > (1 - leastGain) * now) return ranks;
    }
    return undefined;
  }
}

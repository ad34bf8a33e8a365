import {
  type Arena,
  accumulate,
  fillState,
  full,
  mul,
  type Program,
  type Readback,
  type RecordedProgram,
  recordProgram,
  reshape,
  softCrossEntropyPerRow,
  sum,
  type Tensor,
} from "../../../engine/index.ts";
import type { Classifier, Precision } from "../../../models/index.ts";
import { mixImages, softTargets } from "../../data/augmentation/mix_batch.ts";
import { mixingLength } from "../../data/augmentation/mixing.ts";
import type { GradientTree } from "../../training/gradient_tree.ts";
import type { LossScaling } from "../../training/loss_scaling.ts";
import type { ArenaOptimizer } from "../../training/optimizer.ts";
import type { DropPath } from "./drop_path.ts";

/** Everything that an update works on. */
export interface StepSetup {
  readonly model: Classifier;
  readonly batch: number;
  /** Images computed at once; the batch where they are all. */
  readonly part: number;
  /** Records the views of so many images: `[m, C, H, W]`, normalised. */
  readonly views: (program: Program, images: number) => Tensor;
  readonly mixes: boolean;
  readonly labelSmoothing: number;
  readonly dropPath: DropPath;
  readonly recompute: boolean;
  readonly precision: Precision;
  readonly optimizer: ArenaOptimizer;
  readonly average: Arena | undefined;
  readonly lossScaling: LossScaling | undefined;
  /** Where the parts are fixed ones: what sums their gradients, and how many images are under way at once. */
  readonly fixed?: { readonly tree: GradientTree; readonly inFlight: number };
}

/** Host values of program inputs, by name. */
export type HostInputs = Readonly<Record<string, ArrayLike<number>>>;

/** Host values of one update. */
export interface StepInputs {
  /** Inputs of images `first … first + count - 1`; arrays may be reused from call to call. */
  readonly parts: (first: number, count: number) => HostInputs;
  /** See `stepScalars`. */
  readonly scalars: Float32Array;
}

/** Planned device memory and work of one update. */
export interface StepPlan {
  /** Gradients of parts that wait to be summed, beside those of the whole batch. */
  readonly partialSumBytes: number;
  readonly arenaBytes: number;
  readonly inputBytes: number;
  readonly flops: number;
  /** Kernel launches of all programs, each run once. */
  readonly dispatches: number;
}

type AnyProgram = RecordedProgram<Record<string, Tensor>>;

/**
 * The programs of an update: one for a batch that is computed at once; else one for each size of its parts, which adds to the
 * gradients, and one for the update. Samples meet nowhere but in the mixed pairs, so parts of whole pairs give the gradients of
 * the batch up to the order of summation.
 */
export class FinetuneStep {
  readonly #parts = new Map<number, AnyProgram>();
  /** Where the batch comes in parts. */
  readonly #update: AnyProgram | undefined;
  readonly #loss: Tensor | undefined;

  constructor(readonly setup: StepSetup) {
    const { batch, part, model } = setup;
    if (part >= batch && !setup.fixed) {
      this.#parts.set(batch, recordWhole(setup));
      return;
    }
    const loss = model.device.zeros([1], "f32", "loss of the batch");
    this.#loss = loss;
    for (const size of [part, batch % part]) if (size > 0) this.#parts.set(size, recordPart(setup, size, loss));
    this.#update = recordUpdate(setup, loss);
  }

  /** All programs of an update. */
  get programs(): readonly AnyProgram[] {
    const sums = this.setup.fixed?.tree.programs ?? [];
    return [...this.#parts.values(), ...sums, ...(this.#update ? [this.#update] : [])];
  }

  /** Planned device memory and work of one update, without allocating. */
  get plan(): StepPlan {
    const { batch, part } = this.setup;
    const stats = this.programs.map((program) => program.stats);
    const flops = [...this.#parts].reduce((total, [size, program]) => {
      const times = size === part ? Math.floor(batch / size) : 1;
      return total + times * program.stats.flops;
    }, this.#update?.stats.flops ?? 0);
    return {
      partialSumBytes: this.setup.fixed?.tree.sizeBytes ?? 0,
      arenaBytes: stats.reduce((total, { plannedPeakBytes }) => total + plannedPeakBytes, 0),
      inputBytes: stats.reduce((total, { inputBytes }) => total + inputBytes, 0),
      flops,
      dispatches: stats.reduce((total, { dispatches }) => total + dispatches, 0),
    };
  }

  /** Submits one update. @returns once submitted; `read` of the result waits */
  async run({ parts, scalars }: StepInputs): Promise<Readback<string>> {
    const names = ["loss", "norm", ...(this.setup.lossScaling ? ["lossScale"] : [])];
    const { batch, part } = this.setup;
    const update = this.#update;
    for (let first = 0; first < batch; first += part) {
      const count = Math.min(part, batch - first);
      const program = this.#parts.get(count);
      if (!program) throw new Error(`finetune: no program was recorded for ${count} images`);
      if (!update) return program.run({ ...parts(first, count), scalars }, names);
      await program.run(parts(first, count));
      await this.#follow(first, count);
    }
    if (!update) throw new Error("finetune: the batch is empty");
    return update.run({ scalars }, names);
  }

  /** What comes behind a part: its place in the sum, and a pause where enough is under way. */
  async #follow(first: number, count: number): Promise<void> {
    const { fixed, part, batch, model } = this.setup;
    if (!fixed) return;
    await fixed.tree.add(first / part);
    const done = first + count;
    const { gpu, waits } = model.device;
    if (done < batch && done % fixed.inFlight === 0) await waits.during(gpu.queue.onSubmittedWorkDone());
  }

  /** Frees the programs; the model and the optimiser stay. */
  destroy(): void {
    for (const program of this.programs) program.destroy();
    this.#loss?.destroy();
    this.setup.fixed?.tree.destroy();
  }
}

function recordWhole(setup: StepSetup): AnyProgram {
  const { model, batch, optimizer } = setup;
  return recordProgram<Record<string, Tensor>>(
    model.device,
    (program) => {
      const { loss, gradients } = lossOfImages(program, setup, batch);
      optimizer.assign(program, gradients);
      return { loss, ...updated(program, setup) };
    },
    { name: "finetune" },
  );
}

function recordPart(setup: StepSetup, images: number, sumOfLosses: Tensor): AnyProgram {
  return recordProgram<Record<string, Tensor>>(
    setup.model.device,
    (program) => {
      const { loss, gradients } = lossOfImages(program, setup, images);
      accumulate(program, sumOfLosses, reshape(loss, [1]));
      if (setup.fixed) setup.fixed.tree.assign(program, [gradients]);
      else setup.optimizer.accumulate(program, gradients);
      return {};
    },
    { name: `finetune ${images}` },
  );
}

/** Clears gradients and loss behind itself, for the parts of the next update. */
function recordUpdate(setup: StepSetup, sumOfLosses: Tensor): AnyProgram {
  return recordProgram<Record<string, Tensor>>(
    setup.model.device,
    (program) => {
      const loss = mul(sumOfLosses, full(program, [1], 1));
      const outputs = { loss, ...updated(program, setup) };
      if (!setup.fixed) setup.optimizer.clear(program);
      fillState(program, sumOfLosses, 0);
      return outputs;
    },
    { name: "update" },
  );
}

/** What images add to the mean loss of their batch, and its gradients (scaled, in f16). */
function lossOfImages(
  program: Program,
  setup: StepSetup,
  images: number,
): { readonly loss: Tensor; readonly gradients: readonly Tensor[] } {
  const { model, batch, mixes, labelSmoothing, dropPath, recompute, precision, optimizer, lossScaling } = setup;
  const { classNames } = model.description;
  const view = setup.views(program, images);
  const labels = program.input("labels", [images], "u32");
  const mixing = program.input("mixing", [mixingLength]);
  const factors = dropPath.rows > 0 ? program.input("dropPath", [dropPath.rows, images]) : undefined;
  const keep = dropPath.keep(factors, model.config.blocks);
  const logits = model.forward(mixes ? mixImages(view, mixing) : view, {
    recompute,
    precision,
    ...(keep ? { keep } : {}),
  });
  const targets = softTargets(labels, mixing, { classes: classNames.length, labelSmoothing });
  const loss = mul(sum(softCrossEntropyPerRow(logits, targets)), 1 / batch);
  const trained = optimizer.trained.map((name) => optimizer.parameters.get(name));
  const seed = lossScaling?.scale(full(program, loss.shape, 1));
  return { loss, gradients: program.gradients(loss, trained, seed) };
}

function updated(program: Program, { optimizer, average, lossScaling }: StepSetup): Record<string, Tensor> {
  const whole = optimizer.gradientNorm(program);
  const given = program.input("scalars", [12]);
  const { norm, scalars } = lossScaling?.control(program, given, whole) ?? { norm: whole.norm, scalars: given };
  optimizer.step(program, scalars, average);
  return lossScaling ? { norm, lossScale: lossScaling.state } : { norm };
}

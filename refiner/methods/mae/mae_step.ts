import {
  accumulate,
  EngineError,
  fillState,
  full,
  gradientNorm,
  mul,
  type Program,
  type Readback,
  type RecordedProgram,
  recordProgram,
  reshape,
  type Tensor,
} from "../../../engine/index.ts";
import { gridOf, type MaskedAutoencoder } from "../../../models/index.ts";
import type { ViewInputs } from "../../data/views/view_inputs.ts";
import { GradientTree } from "../../training/gradient_tree.ts";
import type { LossScaling } from "../../training/loss_scaling.ts";
import type { ArenaOptimizer } from "../../training/optimizer.ts";
import type { PretrainConfig } from "./pretrain_config.ts";

/** Everything that an update works on. */
export interface MaeStepSetup {
  readonly model: MaskedAutoencoder;
  readonly config: PretrainConfig;
  /** Images of one program: the batch, or a fixed part of it. */
  readonly part: number;
  /** Whether gradients are summed over fixed parts. */
  readonly inParts: boolean;
  /** Of as many images as a part has. */
  readonly inputs: ViewInputs;
  /** Of encoder and decoder. */
  readonly optimizers: readonly ArenaOptimizer[];
  readonly lossScaling: LossScaling | undefined;
}

/** Host values of program inputs, by name. */
type HostInputs = Readonly<Record<string, ArrayLike<number>>>;
type AnyProgram = RecordedProgram<Record<string, Tensor>>;

/** Planned device memory and work of one update. */
export interface MaeStepPlan {
  readonly plannedPeakBytes: number;
  readonly inputBytes: number;
  readonly flops: number;
  /** Gradients of parts that wait to be summed, beside those of the whole batch. */
  readonly partialSumBytes: number;
}

/** The programs of an update: one, or one for a part of the batch, those that sum gradients, and one for the update. */
export class MaeStep {
  readonly #part: AnyProgram;
  /** Undefined where one program makes the whole update. */
  readonly #fixed: { readonly tree: GradientTree; readonly loss: Tensor; readonly update: AnyProgram } | undefined;

  constructor(readonly setup: MaeStepSetup) {
    const { optimizers, config, part, inParts, model } = setup;
    if (!inParts) {
      this.#part = recordWhole(setup);
      return;
    }
    const tree = new GradientTree(optimizers, config.batch / part);
    tree.recordAll();
    const loss = model.device.zeros([1], "f32", "loss of the batch");
    this.#part = recordPart(setup, tree, loss);
    this.#fixed = { tree, loss, update: recordUpdate(setup, loss) };
  }

  /** All programs of an update. */
  get programs(): readonly AnyProgram[] {
    const { tree, update } = this.#fixed ?? {};
    return [this.#part, ...(tree?.programs ?? []), ...(update ? [update] : [])];
  }

  /** Planned device memory and work of one update, without allocating. */
  get plan(): MaeStepPlan {
    const { config, part } = this.setup;
    const stats = this.programs.map((program) => program.stats);
    const times = (program: AnyProgram): number => (program === this.#part ? config.batch / part : 1);
    return {
      plannedPeakBytes: stats.reduce((sum, { plannedPeakBytes }) => sum + plannedPeakBytes, 0),
      inputBytes: stats.reduce((sum, { inputBytes }) => sum + inputBytes, 0),
      flops: this.programs.reduce((sum, program) => sum + times(program) * program.stats.flops, 0),
      partialSumBytes: this.#fixed?.tree.sizeBytes ?? 0,
    };
  }

  /**
   * Submits one update.
   *
   * @param inputs - of the images from `first` on; arrays may be reused from call to call
   * @returns once submitted; `read` of the result waits
   */
  async run(inputs: (first: number) => HostInputs, scalars: Float32Array): Promise<Readback<string>> {
    const { config, part, lossScaling } = this.setup;
    const names = ["loss", "norm", ...(lossScaling ? ["lossScale"] : [])];
    if (!this.#fixed) return this.#part.run({ ...inputs(0), scalars }, names);
    const { tree, update } = this.#fixed;
    for (let first = 0; first < config.batch; first += part) {
      await this.#part.run(inputs(first));
      await tree.add(first / part);
    }
    return update.run({ scalars }, names);
  }

  /** Frees the programs and partial sums; model and optimisers stay. */
  destroy(): void {
    for (const program of this.programs) program.destroy();
    this.#fixed?.tree.destroy();
    this.#fixed?.loss.destroy();
  }
}

/** Patches of an image, and those of them that the encoder sees. */
export function patchCounts(model: MaskedAutoencoder, config: PretrainConfig): { patches: number; kept: number } {
  const [rows, columns] = gridOf(model.encoder.config, config.pixels, config.pixels);
  const patches = rows * columns;
  return { patches, kept: Math.floor(patches * (1 - config.maskRatio)) };
}

function recordWhole(setup: MaeStepSetup): AnyProgram {
  return recordProgram<Record<string, Tensor>>(
    setup.model.device,
    (program) => {
      const { loss, gradients } = lossOfImages(program, setup, 1);
      setup.optimizers.forEach((optimizer, i) => {
        optimizer.assign(program, gradients[i] ?? []);
      });
      return { loss, ...updated(program, setup) };
    },
    { name: "pretrain" },
  );
}

function recordPart(setup: MaeStepSetup, tree: GradientTree, sumOfLosses: Tensor): AnyProgram {
  const { config, part, model } = setup;
  return recordProgram<Record<string, Tensor>>(
    model.device,
    (program) => {
      // Every image has as many removed patches, so that the mean over the batch is that over its parts.
      const { loss, gradients } = lossOfImages(program, setup, part / config.batch);
      accumulate(program, sumOfLosses, reshape(loss, [1]));
      tree.assign(program, gradients);
      return {};
    },
    { name: `pretrain ${part}` },
  );
}

/** Clears the loss behind itself, for the parts of the next update. */
function recordUpdate(setup: MaeStepSetup, sumOfLosses: Tensor): AnyProgram {
  return recordProgram<Record<string, Tensor>>(
    setup.model.device,
    (program) => {
      const loss = mul(sumOfLosses, full(program, [1], 1));
      const outputs = { loss, ...updated(program, setup) };
      fillState(program, sumOfLosses, 0);
      return outputs;
    },
    { name: "update" },
  );
}

/** What images add to the loss of their batch, of which they are a share, and its gradients by optimiser (scaled, in f16). */
function lossOfImages(
  program: Program,
  { model, config, part, inputs, optimizers, lossScaling }: MaeStepSetup,
  share: number,
): { readonly loss: Tensor; readonly gradients: readonly (readonly Tensor[])[] } {
  const [view] = inputs.record(program);
  if (!view) throw new EngineError("pretrain: the views recorded nothing");
  const { patches, kept } = patchCounts(model, config);
  const mask = {
    keptRows: program.input("keptRows", [part * kept], "u32"),
    keptPositions: program.input("keptPositions", [part * kept], "u32"),
    restoreRows: program.input("restoreRows", [part * patches], "u32"),
    mask: program.input("mask", [part, patches]),
  };
  const { normalizePixels: normalization, precision } = config;
  const forward = model.forward(view, mask, { normalization, precision });
  const loss = share === 1 ? forward.loss : mul(forward.loss, share);
  const targets = optimizers.map((optimizer) => optimizer.trained.map((name) => optimizer.parameters.get(name)));
  const gradients = program.gradients(loss, targets.flat(), lossScaling?.scale(full(program, loss.shape, 1)));
  return {
    loss,
    gradients: targets.map((list, i) => {
      const first = targets.slice(0, i).flat().length;
      return gradients.slice(first, first + list.length);
    }),
  };
}

/** One decision for both optimisers: they are the two ends of one backward pass. */
function updated(program: Program, { optimizers, lossScaling }: MaeStepSetup): Record<string, Tensor> {
  const whole = gradientNorm(
    program,
    optimizers.flatMap((optimizer) => optimizer.gradients.chunks),
  );
  const given = program.input("scalars", [12]);
  const { norm, scalars } = lossScaling?.control(program, given, whole) ?? { norm: whole.norm, scalars: given };
  for (const optimizer of optimizers) optimizer.step(program, scalars);
  return lossScaling ? { norm, lossScale: lossScaling.state } : { norm };
}

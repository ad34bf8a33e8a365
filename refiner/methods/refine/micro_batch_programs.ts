import {
  OptionError,
  type Program,
  type RecordedProgram,
  recordProgram,
  type Tensor,
  type Workspace,
} from "../../../engine/index.ts";
import { type BatchPart, readBatchRows, writeBatchRows } from "./batch_rows.ts";
import {
  type BatchFeatures,
  recordFeatures,
  type StepSetup,
  seeded,
  stepHeads,
  type TrainedEncoder,
  updateEncoder,
  weightsIn,
} from "./step.ts";

/** What the programs of an update have in common. */
export interface SharedState {
  readonly features: FeatureState;
  /** They run one after the other, in the same memory. */
  readonly workspace: Workspace;
}

/**
 * Pooled features of a batch, or of the images of one rank, all that passes between the programs: the heads leave the (scaled)
 * gradients with respect to them in their place.
 */
export class FeatureState implements BatchFeatures {
  readonly own: readonly Tensor[];
  readonly taught?: readonly Tensor[];
  /** B, or the images of a rank. */
  readonly images: number;

  /** @param names - of the heads whose features these are; default: all */
  constructor({ model, loss, teacher }: StepSetup, names = model.placed) {
    const { batch, globalViews, localViews } = loss.layout;
    this.images = batch;
    const zeros = (views: number, what: string): Tensor[] =>
      names.map((name) => model.device.zeros([views * batch, model.encoder.config.width], "f32", `${name} ${what}`));
    this.own = zeros(globalViews + localViews, "features");
    if (teacher?.encoder) this.taught = zeros(globalViews, "teacher features");
  }

  get sizeBytes(): number {
    return [...this.own, ...(this.taught ?? [])].reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  }

  destroy(): void {
    for (const state of [...this.own, ...(this.taught ?? [])]) state.destroy();
  }
}

/** Programs for micro-batches of one size. */
export interface PartPrograms {
  /** Writes the pooled features of a part into those of the batch. */
  readonly encode: RecordedProgram<Record<string, Tensor>>;
  /** Encodes the part once more and adds to the encoder's gradients. Undefined where the encoder is frozen. */
  readonly backward?: RecordedProgram<Record<string, Tensor>>;
}

/**
 * Records the encoder programs for micro-batches of one size; the input `first` says where a part begins.
 *
 * @param part - images per micro-batch
 * @throws OptionError if the part is larger than the batch
 */
export function recordPart(setup: StepSetup, shared: SharedState, part: number): PartPrograms {
  const { features: state, workspace } = shared;
  const { model, loss, encoder } = setup;
  const { batch, globalViews, localViews } = loss.layout;
  if (!Number.isInteger(part) || part < 1 || part > batch)
    throw new OptionError(`refine: a micro-batch of ${part} images does not fit a batch of ${batch}; use 1 … ${batch}`);
  const encode = recordProgram<Record<string, Tensor>>(
    model.device,
    (program) => {
      const first = program.input("first", [1], "u32");
      const { own, taught } = recordFeatures(program, setup, part);
      writeAll(program, own, state.own, { views: globalViews + localViews, batch, part, first });
      if (taught && state.taught) writeAll(program, taught, state.taught, { views: globalViews, batch, part, first });
      return {};
    },
    { name: `encode ${part}`, inference: true, workspace },
  );
  if (!encoder) return { encode };
  const backward = recordProgram<Record<string, Tensor>>(
    model.device,
    (program) => {
      const first = program.input("first", [1], "u32");
      const weights = weightsIn(program, setup);
      const { own } = recordFeatures(program, setup, part, weights);
      const seeds = own.map((output, i) => {
        const gradient = state.own[i];
        const place = { views: globalViews + localViews, batch, part, first };
        return seeded(output, gradient && readBatchRows(program, gradient, place));
      });
      const { optimizer } = encoder;
      const targets = optimizer.trained.map((name) => weights.get(name));
      const gradients = program.pullBack(seeds, targets);
      const tree = setup.parts?.tree;
      if (tree) tree.assign(program, [gradients]);
      else optimizer.accumulate(program, gradients);
      return {};
    },
    { name: `backward ${part}`, workspace },
  );
  return { encode, backward };
}

function writeAll(program: Program, from: readonly Tensor[], to: readonly Tensor[], place: BatchPart): void {
  from.forEach((rows, i) => {
    const target = to[i];
    if (target) writeBatchRows(program, rows, target, place);
  });
}

/**
 * Records the heads on the whole batch, whose features become gradients. Clears the encoder's gradients for the parts that follow.
 *
 * @returns outputs that stay valid until the next update; in this program's read-back only where the encoder is frozen
 */
export function recordHeads(setup: StepSetup, shared: SharedState): RecordedProgram<Record<string, Tensor>> {
  const { features: state, workspace } = shared;
  const { model, encoder } = setup;
  return recordProgram<Record<string, Tensor>>(
    model.device,
    (program) => {
      if (model.heads.length === 0) {
        encoder?.optimizer.clear(program);
        return {};
      }
      const outputs = stepHeads(program, setup, state, (gradient, head) => {
        const features = state.own[head];
        if (features) program.assign(features, gradient);
      });
      if (!encoder) return outputs;
      if (!setup.parts) encoder.optimizer.clear(program);
      return keep(program, outputs);
    },
    { name: "heads", workspace },
  );
}

/** Records the encoder's update, whose outputs include those of the heads, so that one read-back serves an update. */
export function recordUpdate(
  setup: StepSetup,
  encoder: TrainedEncoder,
  heads: Record<string, Tensor>,
  workspace: Workspace,
): RecordedProgram<Record<string, Tensor>> {
  return recordProgram(setup.model.device, (program) => ({ ...heads, ...updateEncoder(program, setup, encoder) }), {
    name: "update",
    workspace,
  });
}

/** Moves results into state, for a later program to read. */
function keep(program: Program, outputs: Record<string, Tensor>): Record<string, Tensor> {
  return Object.fromEntries(
    Object.entries(outputs).map(([name, value]): [string, Tensor] => {
      const state = program.own(program.device.zeros(value.shape, value.dtype, name));
      program.assign(state, value);
      return [name, state];
    }),
  );
}

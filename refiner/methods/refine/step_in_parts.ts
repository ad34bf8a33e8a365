import { type Program, type RecordedProgram, recordProgram, reshape, type Tensor } from "../../../engine/index.ts";
import { type BatchPart, readBatchRows, writeBatchRows } from "./batch_rows.ts";
import {
  type BatchFeatures,
  featuresOf,
  recordStep,
  type StepParts,
  type StepSetup,
  seeded,
  stepHeads,
  updateEncoder,
  weightsIn,
} from "./step.ts";

/** One program for the whole step, for batches that fit the device at once: with fixed parts, or without. */
export function wholeStep(setup: StepSetup): ReturnType<typeof recordStep> {
  return setup.parts ? recordStepInParts(setup, setup.parts) : recordStep(setup);
}

/**
 * One program for the whole step whose encoder works on fixed parts of the batch, one after the other: features, and gradients that
 * are summed by the tree. It gives the bits of the same parts in passes (`MicroBatchStep`), and encodes once instead of twice.
 */
function recordStepInParts(
  setup: StepSetup,
  { size, tree }: StepParts,
): RecordedProgram<{ metrics: Tensor } & Record<string, Tensor>> {
  const { model, loss, encoder } = setup;
  const { batch, globalViews, localViews } = loss.layout;
  return recordProgram(
    model.device,
    (program) => {
      const weights = weightsIn(program, setup);
      const views = setup.views(program, batch);
      const places = Array.from({ length: batch / size }, (_, i) => {
        const first = program.own(model.device.tensor([i * size], [1], "u32", `first image of part ${i}`));
        return (count: number): BatchPart => ({ views: count, batch, part: size, first });
      });
      const parts = places.map((place) =>
        featuresOf(
          program,
          setup,
          views.map((x, i) => rowsOfPart(program, x, place(i === 0 ? globalViews : localViews))),
          weights,
        ),
      );
      const whole = gathered(program, setup, parts, places);
      const arriving: Tensor[] = [];
      const outputs = stepHeads(program, setup, whole, (gradient) => arriving.push(gradient));
      if (!encoder || !tree) return outputs;
      const targets = encoder.optimizer.trained.map((name) => weights.get(name));
      places.forEach((place, part) => {
        const seeds = (parts[part]?.own ?? []).map((output, i) => {
          const gradient = arriving[i];
          return seeded(output, gradient && readBatchRows(program, gradient, place(globalViews + localViews)));
        });
        tree.assign(program, [program.pullBack(seeds, targets)]);
        tree.record(program, part);
      });
      return { ...outputs, ...updateEncoder(program, setup, encoder) };
    },
    { name: "step" },
  );
}

function rowsOfPart(program: Program, x: Tensor, place: BatchPart): Tensor {
  const [rows = 1, ...shape] = x.shape;
  return reshape(readBatchRows(program, reshape(x, [rows, -1]), place), [place.views * place.part, ...shape]);
}

/** Features of all parts in the order of the batch. */
function gathered(
  program: Program,
  { model, loss }: StepSetup,
  parts: readonly BatchFeatures[],
  places: readonly ((views: number) => BatchPart)[],
): BatchFeatures {
  const { batch, globalViews, localViews } = loss.layout;
  const all = (views: number, of: (part: BatchFeatures) => readonly Tensor[] | undefined): Tensor[] =>
    model.names.map((_, head) => {
      const whole = program.empty([views * batch, model.encoder.config.width]);
      parts.forEach((part, i) => {
        const rows = of(part)?.[head];
        const place = places[i]?.(views);
        if (rows && place) writeBatchRows(program, rows, whole, place);
      });
      return whole;
    });
  const own = all(globalViews + localViews, (part) => part.own);
  return parts[0]?.taught ? { own, taught: all(globalViews, (part) => part.taught) } : { own };
}

import type { GoldenCase, GoldenCheck } from "../fixture.ts";
import { checkGroups } from "./parameter_groups.ts";
import { QueueRanking } from "./ranking.ts";
import { otherNeighbours, roundOffFactor, stepBounds } from "./run_bounds.ts";
import { checkFirstUpdate, checkLastState } from "./state.ts";
import { type Choices, checkStep } from "./step.ts";
import { moveTied, type Tie, tiesOf } from "./ties.ts";
import { prepareTraining, type Training } from "./training.ts";

/**
 * Whole trainings by the stages of `refine`, step by step: losses, metrics and chosen neighbours of every update and head,
 * gradients of the first update, state after the first and after the last. In f16 a loss is compared where the same neighbours
 * were chosen, and the last state not at all: after another choice it is that of another training.
 */
export const trajectoryCase: GoldenCheck = {
  run: checkTrajectory,
  inputs: {
    tensors: /^(initial\/.+|step\.\d+\/(view\.\d+|idx|cls))$/,
    keys: /^(stage|num_updates|batch_size|hyper\..+|param_groups\.\d+\.params|(main|stable)\.adam_eps)$/,
    remarks: /^(hyper\.heads\.[^.]+\.class_token_of|zero_gradient_in_exact_arithmetic\..+)$/,
  },
};

const runs = ["main", "stable"] as const;

async function checkTrajectory(golden: GoldenCase): Promise<void> {
  for (const run of runs) {
    const before = golden.rows.length;
    const ties: Tie[] = [];
    for (;;) {
      const training = await prepareTraining(golden, run);
      if (run === "main") checkGroups(golden, training);
      const found = await replay(golden, run, training, ties);
      training.destroy();
      if (found.length === 0) break;
      ties.push(...found);
      golden.rows.length = before;
    }
  }
}

/** @returns ties found, for which the replay was given up */
async function replay(
  golden: GoldenCase,
  run: (typeof runs)[number],
  training: Training,
  moved: readonly Tie[],
): Promise<Tie[]> {
  const json = golden.json.get(run);
  const { stage, model } = training;
  const absolute =
    run === "stable" ? undefined : roundOffFactor * json.get("max_abs_difference_to_float64", "losses").number();
  const chosen: Choices = { count: 0, different: 0 };
  const ranking = new QueueRanking(training, json);
  const isExact = golden.precision === "f32";
  for (const index of json.get("steps").keys()) {
    const update = Number(index);
    const batch = await training.batch(update);
    const tied = moved.filter((tie) => tie.update === update);
    await moveTied(golden, training, json, tied);
    await ranking.check(golden, update, batch);
    const slotNames = model.names.map((_, i) => `slots${i}`);
    const step = await stage.run(batch, { update, total: update, epoch: 0 }, slotNames);
    const [result, values] = [await step.result, await step.values];
    if (run === "main" && update > 0 && isExact) {
      const ties = tiesOf(json, update, model.names, values, tied);
      if (ties.length > 0) {
        ranking.destroy();
        return ties;
      }
    }
    const found = { names: model.names, result, values, absolute, bounds: stepBounds(training), chosen };
    checkStep(golden, json.get("steps", index), json.get("losses_float64", index), found);
    if (update === 0 && run === "main") await checkFirstUpdate(golden, training, json);
  }
  ranking.checkSmallest(golden);
  ranking.destroy();
  if (isExact) await checkLastState(golden, training, run, json);
  else golden.addError(`${run}: share of other neighbours`, chosen.different / chosen.count, otherNeighbours);
  return [];
}

import type { Arena, HostArray } from "../../../engine/index.ts";
import { ownerOf } from "../../exchange/exchange.ts";
import { wholeState } from "../../methods/refine/whole_state.ts";
import { allTensors } from "../../training/run_checkpoint.ts";
import type { RunState } from "../../training/run_state.ts";
import { goldenBounds } from "../bounds.ts";
import type { GoldenCase, GoldenCheck } from "../fixture.ts";
import { checkGroups } from "./parameter_groups.ts";
import { stableBounds, stepBounds } from "./run_bounds.ts";
import { type Choices, checkStep } from "./step.ts";
import { prepareTraining, type Training } from "./training.ts";

/**
 * A training by the published code on several ranks, and the same in one process: ours, on however many ranks this is run, is
 * compared with both. In f16 the state is left out: a loss is compared where the same neighbours were chosen.
 */
export const distributedCase: GoldenCheck = {
  run: checkDistributed,
  inputs: {
    tensors: /^(initial\/.+|step\.\d+\/(view\.\d+|idx|cls))$/,
    keys: /^(stage|num_updates|batch_size|hyper\..+|param_groups\.\d+\.params|(single|several)\.adam_eps)$/,
    remarks: new RegExp(
      "^(" +
        [
          "ranks|batch_per_rank|several\\.state_identical_on_all_ranks",
          "zero_gradient_in_exact_arithmetic(\\..+)?",
          "hyper\\.batch_norm|hyper\\.heads\\.[^.]+\\.class_token_of",
          "single\\.smallest_gap_best_to_second|(single|several)\\.steps\\.\\d+\\.neighbours\\.[^.]+\\.(?!queue_idx)[^.]+",
          "max_abs_difference_of_several_to_single\\..+|loss_shift_by_update_with_batch_norm_per_rank(\\..+)?",
        ].join("|") +
        ")$",
    ),
  },
};

const runs = ["single", "several"] as const;
const prefixes = { single: "single/", several: "" } as const;

async function checkDistributed(golden: GoldenCase): Promise<void> {
  await golden.exchange.share("", { isPatient: true }); // the first rank may have checked others before
  const { json } = golden;
  json.get("several").expect({ adam_eps: json.get("single", "adam_eps").number() });
  const training = await prepareTraining(golden, "single");
  const { stage, model } = training;
  const chosen: Choices = { count: 0, different: 0 };
  // Among several ranks none has the parameters of all heads.
  if (golden.exchange.size === 1) checkGroups(golden, training);
  const updates = golden.json.get("single", "steps").keys();
  for (const index of updates) {
    const update = Number(index);
    const batch = await training.batch(update);
    const own = model.names.map((_, i) => `slots${i}`);
    const step = await stage.run(batch, { update, total: update, epoch: 0 }, own);
    const result = await step.result;
    const values = await slotsOfAll(golden, training, await step.values);
    for (const run of runs) {
      const found = { names: model.placed, result, values, absolute: undefined, bounds: stepBounds(training), chosen };
      checkStep(golden, golden.json.get(run, "steps", index), golden.json.get(run, "losses_float64", index), found);
    }
    if (update === 0 && golden.precision === "f32") await checkFirst(golden, training);
  }
  if (golden.precision === "f32") await checkLast(golden, training);
  training.destroy();
}

/** Chosen slots of all heads, from those of the heads of each rank. */
async function slotsOfAll(
  { exchange }: GoldenCase,
  { model }: Training,
  values: Readonly<Record<string, HostArray>>,
): Promise<Record<string, HostArray>> {
  const own = model.names.map((_, i) => Array.from(values[`slots${i}`] ?? []).join(" "));
  const ranks = (await exchange.share(own.join(";"))).map((text) => text.split(";"));
  const heads = model.placed.map((_, head) => ranks[ownerOf(head, model.placed.length, exchange.size)]?.shift() ?? "");
  return Object.fromEntries(heads.map((text, head) => [`slots${head}`, Uint32Array.from(text.split(" "), Number)]));
}

async function checkFirst(golden: GoldenCase, training: Training): Promise<void> {
  const { heads, encoder } = training.stage;
  if (!encoder) return;
  const found = await tensorsOf(golden, training, {
    "heads.": heads.gradients,
    "encoder.": encoder.optimizer.gradients,
  });
  for (const run of runs) {
    const prefix = `${prefixes[run]}step.0/grads/`;
    for (const stored of golden.names(prefix))
      await golden.compareGradient(stored, found.get(stored.slice(prefix.length)) ?? []);
  }
  await checkState(golden, training, "after.0/");
}

async function checkLast(golden: GoldenCase, training: Training): Promise<void> {
  await checkState(golden, training, "final/");
  const found = await tensorsOf(golden, training, { "ema/": training.average });
  for (const run of runs)
    for (const stored of golden.names(`${prefixes[run]}ema/`))
      await compareState(golden, stored, found.get(stored.slice(prefixes[run].length)) ?? []);
}

/** Heads with their queues, and the encoder. */
async function checkState(golden: GoldenCase, training: Training, moment: string): Promise<void> {
  const { model } = training;
  const state = {
    "heads.": model.headParameters,
    "statistics.": model.headStatistics,
    "counters.": model.headCounters,
    "encoder.": model.encoder.parameters,
  };
  const found = await tensorsOf(golden, training, state, true);
  found.set("encoder.pos_embed.embed", await model.encoder.positions.read());
  for (const run of runs) {
    const prefix = `${prefixes[run]}${moment}`;
    for (const stored of golden.names(prefix)) {
      const name = stored.slice(prefix.length);
      const bare = name.slice("heads.".length);
      const values = [name, `statistics.${bare}`, `counters.${bare}`, bare].map((key) => found.get(key));
      await compareState(golden, stored, values.find((one) => one !== undefined) ?? []);
    }
  }
}

/** Values by name, at the first rank of all of them. */
async function tensorsOf(
  { exchange }: GoldenCase,
  { model }: Training,
  arenas: Readonly<Record<string, Arena>>,
  withQueues = false,
): Promise<Map<string, ArrayLike<number>>> {
  const queues = model.heads.flatMap(({ queue }, i) =>
    Object.entries(queue.state).map(([name, tensor]) => [`${model.names[i]}.${name}`, tensor] as const),
  );
  const state: RunState = { arenas, tensors: Object.fromEntries(withQueues ? queues : []) };
  const whole = wholeState(state, model, exchange.size).filter(
    ({ name }) => withQueues || !/queue\.[a-z]+$/.test(name),
  );
  const found = await allTensors(exchange.size === 1 ? state : { ...state, whole }, exchange);
  return new Map([...found].map(([name, { data }]) => [name, Array.from(data, Number)]));
}

async function compareState(golden: GoldenCase, stored: string, values: ArrayLike<number>): Promise<void> {
  const isFloat = golden.dtype(stored) === "f32";
  if (!isFloat) return golden.compare(stored, values, goldenBounds.exact);
  const expected = await golden.floats(stored);
  const largest = expected.reduce((most, value) => Math.max(most, Math.abs(value)), 1e-6);
  golden.add(stored, values, expected, stableBounds.weightAbsolute / largest);
}

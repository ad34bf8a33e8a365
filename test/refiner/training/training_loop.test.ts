// The loop itself, under a method that computes nothing.
import { expect, it } from "vitest";
import { imagesInMemory } from "../../../refiner/data/index.ts";
import { appendMetrics, rewindMetrics } from "../../../refiner/training/metrics_log.ts";
import { MemoryRunStore } from "../../../refiner/training/run_store.ts";
import { trainingLoop } from "../../../refiner/training/training_loop.ts";
import type { TrainingMethod, TrainingStage } from "../../../refiner/training/training_method.ts";
import { TrainingPlan } from "../../../refiner/training/training_plan.ts";
import { testDevice } from "../../device.ts";

const device = await testDevice();
const images = imagesInMemory(
  Array.from({ length: 5 }, () => ({ width: 1, height: 1, channels: 1 as const, data: new Uint8Array(1) })),
);
const settings = { batch: 2, seed: 1, prefetch: 0, maxBad: 0, checkpointEvery: 1, checkpointMinutes: 1000 };
const stages: readonly TrainingStage[] = [
  { stage: 4, updates: 3, updatesPerEpoch: 2 },
  { stage: 9, updates: 4, updatesPerEpoch: 2, evaluateEvery: 1 },
];

interface Told {
  readonly kind: string;
  readonly stage?: number;
  readonly update?: number;
  readonly epoch?: number;
}

/** Writes down what the loop does with it. */
class Recorder implements TrainingMethod<object, Told> {
  readonly name = "recorder";
  readonly device = device;
  readonly scaled = undefined;
  readonly calls: string[] = [];

  constructor(
    readonly stages: readonly TrainingStage[],
    readonly updatesInFlight = 0,
  ) {}

  startEvent(): Told {
    return { kind: "start" };
  }

  async beginStage({ stage }: TrainingStage, update: number): Promise<void> {
    this.calls.push(`begin ${stage} at ${update}`);
  }

  async run(_: unknown, { update, total, epoch }: { update: number; total: number; epoch: number }) {
    this.calls.push(`run ${update} ${total} ${epoch}`);
    return { result: Promise.resolve({}) };
  }

  updateEvent({ stage }: TrainingStage, { update, epoch }: { update: number; epoch: number }): Told {
    this.calls.push(`told ${update}`);
    return { kind: "update", stage, update, epoch };
  }

  check(): void {}

  state() {
    return { arenas: {}, tensors: {} };
  }

  checkpointMetadata({ stage }: TrainingStage, { update }: { update: number }) {
    return { stage: String(stage), update: String(update) };
  }

  async evaluate(moment: Parameters<NonNullable<TrainingMethod<object, Told>["evaluate"]>>[0]): Promise<Told> {
    const stage = moment.at === "beginning" ? 1 : moment.stage.stage;
    this.calls.push(`evaluate ${moment.at} ${moment.epoch}`);
    return { kind: "score", stage, epoch: moment.epoch };
  }

  async writeResult(): Promise<void> {
    this.calls.push("write");
  }
}

async function train(method: Recorder, store: MemoryRunStore, options: { stopAfter?: number; resume?: boolean } = {}) {
  const stop = new AbortController();
  const { stopAfter, resume } = options;
  const run = trainingLoop(method, { images, resizeTo: 1, settings, store, resume, signal: stop.signal });
  for (let updates = 0; ; ) {
    const next = await run.next();
    if (next.done) return next.value;
    if (next.value.kind === "update" && ++updates === stopAfter) stop.abort();
  }
}

it("numbers updates and epochs over all stages, and evaluates at every moment there is", async () => {
  const method = new Recorder(stages);
  expect(await train(method, new MemoryRunStore())).toEqual({ finished: true, updates: 7, skipped: 0 });
  expect(method.calls.filter((call) => !call.startsWith("told"))).toEqual([
    "evaluate beginning 0",
    "begin 4 at 0",
    "run 0 0 0",
    "run 1 1 0",
    "run 2 2 1",
    "evaluate stage end 2", // an epoch begun counts as a whole one
    "begin 9 at 0",
    "run 0 3 2",
    "run 1 4 2",
    "evaluate epoch 3",
    "run 2 5 3",
    "run 3 6 3",
    "evaluate stage end 4",
    "write",
    "evaluate end 4",
  ]);
});

it.each([
  [0, ["run", "told", "run", "told", "run", "told"]],
  [1, ["run", "run", "told", "told", "run", "told"]], // nothing is left on its way at the end of an epoch
])("submits an update while %i are on their way", async (inFlight, expected) => {
  const method = new Recorder([{ stage: 1, updates: 3, updatesPerEpoch: 2 }], inFlight);
  await train(method, new MemoryRunStore());
  const kinds = method.calls.map((call) => call.split(" ")[0]);
  expect(kinds.filter((kind) => kind === "run" || kind === "told")).toEqual(expected);
});

it("goes on where the signal stopped it, and makes an evaluation again that was not made", async () => {
  const store = new MemoryRunStore();
  expect((await train(new Recorder(stages), store, { stopAfter: 5 })).finished).toBe(false); // at the end of an epoch
  const resumed = new Recorder(stages);
  expect(await train(resumed, store, { resume: true })).toMatchObject({ finished: true, updates: 7 });
  expect(resumed.calls.slice(0, 4)).toEqual(["begin 9 at 2", "evaluate epoch 3", "run 2 5 3", "told 3"]);
  const straight = new MemoryRunStore();
  await train(new Recorder(stages), straight);
  expect(await store.readText("metrics.jsonl")).toBe(await straight.readText("metrics.jsonl"));
});

it("refuses a checkpoint of a stage that the run does not have", async () => {
  const store = new MemoryRunStore();
  await train(new Recorder(stages), store);
  const shorter = train(new Recorder(stages.slice(0, 1)), store, { resume: true });
  await expect(shorter).rejects.toThrow(
    /recorder: checkpoints\/000000007\.safetensors stands at update 4 of stage 9, which this run does not have; resume with the settings/,
  );
});

it("drops a line of the metrics that a kill cut off behind an inner bracket", async () => {
  const store = new MemoryRunStore();
  const whole = { kind: "update", stage: 4, update: 1, heads: { cls: { loss: 1 } } };
  await appendMetrics(store, whole);
  await store.appendLine("metrics.jsonl", '{"kind":"update","stage":4,"update":2,"heads":{"cls":{"loss":1}');
  await rewindMetrics(store, new TrainingPlan(stages), { stage: 4, update: 2 });
  expect(await store.readText("metrics.jsonl")).toBe(`${JSON.stringify(whole)}\n`);
});

/** Whose evaluations after the last update fail. */
class Failing extends Recorder {
  override async evaluate(moment: Parameters<Recorder["evaluate"]>[0]): Promise<Told> {
    if (moment.at === "end") throw new Error("no image can be read");
    return super.evaluate(moment);
  }
}

it("leaves out an evaluation at the end that fails, but not where evaluations are the result", async () => {
  const method = new Failing(stages);
  expect(await train(method, new MemoryRunStore())).toMatchObject({ finished: true, updates: 7 });
  const judging = Object.assign(new Failing(stages), { needsEvaluations: true });
  await expect(train(judging, new MemoryRunStore())).rejects.toThrow("no image can be read");
});

/** Whose evaluations have numbers, as those that a result is chosen by. */
class Scored extends Recorder {
  readonly recalled: unknown[] = [];

  override async evaluate(moment: Parameters<Recorder["evaluate"]>[0]): Promise<Told & { readonly value: number }> {
    return { ...(await super.evaluate(moment)), value: moment.epoch / 10 };
  }

  recall(line: { readonly value?: unknown }): void {
    this.recalled.push(line.value);
  }
}

it.each([
  ["other digits", (text: string) => text.replace('"value":0.2', '"value":0.9')],
  ["another epoch", (text: string) => text.replace('"epoch":2,"value"', '"epoch":1,"value"')],
  ["no end", (text: string) => text.replace(',"value":0.2}', "")],
  ["no lines at all", () => ""],
])("goes on with the evaluations of its checkpoint where their lines have %s", async (_, damage) => {
  const straight = new MemoryRunStore();
  await train(new Scored(stages), straight);
  const store = new MemoryRunStore();
  await train(new Scored(stages), store, { stopAfter: 6 });
  const text = (await store.readText("metrics.jsonl")) ?? "";
  expect(damage(text)).not.toBe(text);
  await store.writeText("metrics.jsonl", damage(text));
  const resumed = new Scored(stages);
  await train(resumed, store, { resume: true });
  expect(resumed.recalled).toEqual([0, 0.2, 0.3]);
  const evaluations = async (run: MemoryRunStore) =>
    (await run.readText("metrics.jsonl"))?.split("\n").filter((line) => line.includes("score"));
  const parsed = async (run: MemoryRunStore) =>
    (await evaluations(run))?.map((line) => ({ update: 0, ...JSON.parse(line) }));
  expect(await parsed(store)).toEqual(await parsed(straight));
});

it("takes an evaluation that was made after the checkpoint from its line", async () => {
  const store = new MemoryRunStore();
  const lines = [{ kind: "score", stage: 9, epoch: 3, value: 1 }];
  for (const line of lines) await appendMetrics(store, line);
  const found = await rewindMetrics(store, new TrainingPlan(stages), { stage: 9, update: 2 }, []);
  expect(found).toEqual({ evaluations: [{ update: 0, ...lines[0] }], dropped: 0 });
});

import { describe, expect, it } from "vitest";
import { DataFormatError, type ImageSource, imagesInMemory, type RgbImage } from "../../../refiner/data/index.ts";
import { resizeBicubic } from "../../../refiner/data/masks/resize_bicubic.ts";
import {
  EvaluationError,
  type FinetuneOptions,
  finetune,
  MemoryRunStore,
  parseVtabList,
  planVtab,
  type VtabRun,
  type VtabTask,
  vtab,
  vtabConfig,
  vtabPreset,
  vtabTasks,
} from "../../../refiner/index.ts";
import { vtabLearningRateFactor } from "../../../refiner/training/schedule.ts";
import { squashedImages } from "../../../refiner/vtab/squashed_images.ts";
import { vtabFinetuning } from "../../../refiner/vtab/vtab_config.ts";
import { chosenRate, summaryOfGroups, summaryOfTask } from "../../../refiner/vtab/vtab_summary.ts";
import { testDevice } from "../../device.ts";
import { smallEncoder } from "../methods/finetune/small_task.ts";

const device = await testDevice();
const side = 12;

/** Grey images of 18 × 10 pixels, brighter the higher the class, with some noise. */
function images(count: number, classes: number, seed = 0): ImageSource {
  const made = Array.from({ length: count }, (_, i): RgbImage => {
    const noise = (at: number) => Math.imul(at + 1 + 180 * (i + seed), 2654435761) >>> 25;
    const level = 20 + (100 * (i % classes)) / (classes - 1);
    return { width: 18, height: 10, channels: 1, data: Uint8Array.from({ length: 180 }, (_, at) => level + noise(at)) };
  });
  return imagesInMemory(made, { labels: made.map((_, i) => i % classes) });
}

function task(name: string, classes = 2): VtabTask {
  return {
    name,
    train800: images(16, classes),
    val200: images(8, classes, 16),
    train800val200: images(24, classes),
    test: images(10, classes, 24),
  };
}

const config = vtabConfig({ learningRates: [0.02, 1e-7], seeds: 2, epochs: 3, batch: 8 });

async function outcomeOf(events: ReturnType<typeof vtab>) {
  const told = [];
  for (;;) {
    const next = await events.next();
    if (next.done) return { result: next.value, told };
    told.push(next.value);
  }
}

const run = (rate: number, accuracy: number, seed = 0): VtabRun => ({
  ...{ task: "cifar", stage: "search", rate, seed, classes: 2, accuracy, images: 200 },
});

/** Fine-tunes on 24 squashed images. @returns the classifier, and the learning rate of every update */
async function tuned(options: Omit<FinetuneOptions, "images">) {
  const events = finetune({ ...options, images: squashedImages(images(24, 2), side) });
  const rates: number[] = [];
  for (;;) {
    const next = await events.next();
    if (next.done) return { model: next.value.model, rates };
    if (next.value.kind === "update") rates.push(next.value.learningRate);
  }
}

describe("vtab", () => {
  it("searches, tests and summarises in memory, and goes on from what a store holds", {
    timeout: 120_000,
  }, async () => {
    const encoder = smallEncoder(device);
    const given = { encoder, tasks: [task("dtd"), task("eurosat", 3)], config };
    const { result, told } = await outcomeOf(vtab(given));
    expect(result.finished).toBe(true);
    expect(told.filter(({ kind }) => kind === "run")).toHaveLength(12);
    expect(result.tasks).toMatchObject([
      { task: "dtd", rate: 0.02, classes: 2, testImages: 10, predicted: [{ length: 10 }, { length: 10 }] },
      { task: "eurosat", group: "specialized", classes: 3 },
    ]);
    expect(result.tasks[0]?.mean).toBeGreaterThan(0.8);

    const store = new MemoryRunStore();
    const controller = new AbortController();
    const begun = vtab({ ...given, store, signal: controller.signal });
    for (let runs = 0; runs < 4; ) {
      const next = await begun.next();
      expect(next.done).toBe(false);
      if (!next.done && next.value.kind === "run") runs++;
    }
    controller.abort();
    const stopped = await outcomeOf(begun);
    expect(stopped.result).toMatchObject({ finished: false, groups: [] });
    const resumed = await outcomeOf(vtab({ ...given, store, resume: true }));
    expect(resumed.result).toEqual(result);
    const kept = resumed.told.filter((event) => event.kind === "run" && event.wasKept);
    expect(kept).toHaveLength(4);

    const other = vtab({ ...given, config: { ...config, weightDecay: 0.1 }, store, resume: true });
    await expect(outcomeOf(other)).rejects.toThrow(/dtd\.search\.0\.02\.seed0\.json .* other settings \(weightDecay\)/);
  });

  it("makes a run again whose file was changed, and says so", { timeout: 120_000 }, async () => {
    const encoder = smallEncoder(device);
    const given = { encoder, tasks: [task("dtd")], config: vtabConfig({ ...config, learningRates: [0.02], seeds: 2 }) };
    const store = new MemoryRunStore();
    const { result } = await outcomeOf(vtab({ ...given, store }));
    const [first, second] = ["runs/dtd.final.0.02.seed0.json", "runs/dtd.final.0.02.seed1.json"];
    const whole = (await store.readText(first)) ?? "";
    const digit = whole.replace(/"accuracy":[\d.]+/, '"accuracy":0.125');
    expect(digit).not.toBe(whole);
    for (const damaged of [
      digit,
      whole.slice(0, 40),
      whole.replace('"seed":0', '"seed":1'),
      "\0\0",
      (await store.readText(second)) ?? "",
    ]) {
      await store.writeText(first, damaged);
      const again = await outcomeOf(vtab({ ...given, store, resume: true }));
      expect(again.result).toEqual(result);
      const notices = again.told.flatMap((event) => (event.kind === "notice" ? [event.text] : []));
      expect(notices).toEqual([`${first} is damaged, or the file of another run; the run is made again`]);
      expect(await store.readText(first)).toBe(whole);
    }
    for (const file of ["runs/notes.txt", "runs/x.json", "working/paper.pdf"]) await store.writeText(file, "mine");
    await outcomeOf(vtab({ ...given, store })); // from the beginning
    for (const file of ["runs/notes.txt", "runs/x.json", "working/paper.pdf"])
      expect(await store.readText(file)).toBe("mine");
  });

  it("takes no number of a test that came to no end", { timeout: 60_000 }, async () => {
    const whole = task("dtd");
    const test: ImageSource = {
      ...whole.test,
      load: async (index, options) => {
        if (index > 6) throw new Error("the disk is gone");
        return whole.test.load(index, options);
      },
    };
    const store = new MemoryRunStore();
    const only = vtabConfig({ ...config, learningRates: [0.02], seeds: 1 });
    const given = { encoder: smallEncoder(device), config: only, store };
    await expect(outcomeOf(vtab({ ...given, tasks: [{ ...whole, test }] }))).rejects.toThrow(/the disk is gone/);
    expect(await store.list("runs")).toEqual([]);
    const { result } = await outcomeOf(vtab({ ...given, tasks: [whole], resume: true }));
    expect(result.tasks[0]?.predicted.map((labels) => labels.includes(-1))).toEqual([false]);
  });

  it("counts a rate that diverges as wrong everywhere, in the search only", { timeout: 120_000 }, async () => {
    const encoder = smallEncoder(device);
    const wild = vtabConfig({ learningRates: [1e30, 0.02], seeds: 1, epochs: 3, batch: 8 });
    const { result, told } = await outcomeOf(vtab({ encoder, tasks: [task("dtd")], config: wild }));
    expect(result.tasks[0]).toMatchObject({ rate: 0.02, search: [{ rate: 1e30, accuracy: 0 }, { rate: 0.02 }] });
    expect(told).toContainEqual({ kind: "notice", text: expect.stringMatching(/^rate 1e\+30 diverges on dtd/) });
    // Of two updates the first has the rate 0: no loss tells that the second one diverges.
    const late = await outcomeOf(vtab({ encoder, tasks: [task("dtd")], config: { ...wild, epochs: 1 } }));
    expect(late.result.tasks[0]).toMatchObject({ rate: 0.02, search: [{ rate: 1e30, accuracy: 0 }, { rate: 0.02 }] });
    const alone = vtab({ encoder, tasks: [task("dtd")], config: { ...wild, learningRates: [1e30] } });
    await expect(outcomeOf(alone)).rejects.toThrow(/the loss is NaN/);
  });

  it("refuses tasks, labels and lists that do not fit", { timeout: 60_000 }, async () => {
    const encoder = smallEncoder(device);
    const refused = (tasks: readonly VtabTask[]) => outcomeOf(vtab({ encoder, tasks, config }));
    await expect(refused([task("mnist")])).rejects.toThrow(/no task mnist; choose from cifar/);
    await expect(refused([task("dtd"), task("dtd")])).rejects.toThrow(/dtd is given twice/);
    await expect(refused([{ ...task("dtd"), test: images(9, 3) }])).rejects.toThrow(
      /image 2 in test of dtd has the label 2, but the training lists end at 1/,
    );
    const unlabelled = { ...images(8, 2), label: () => undefined };
    await expect(refused([{ ...task("dtd"), val200: unlabelled }])).rejects.toThrow(DataFormatError);
    const large = { encoder, tasks: [task("dtd")], config: vtabConfig() };
    expect(() => planVtab(large)).toThrow(EvaluationError);
    expect(() => parseVtabList("", "test.txt")).toThrow(/test\.txt is empty/);
    expect(() => parseVtabList("a.png 007\n", "test.txt")).toThrow(/line 1 of test\.txt has the label 007/);
    expect(parseVtabList("a b.png 3\r\n\n c.png  0\n", "test.txt")).toEqual([
      { path: "a b.png", label: 3, line: 1 },
      { path: "c.png", label: 0, line: 3 },
    ]);
  });
});

describe("the rules of VTAB-1k", () => {
  it("are the published ones by default, with 2B/14 partly frozen", () => {
    const { learningRates: rates, seeds, epochs, batch, layerDecay, weightDecay, frozenShare } = vtabConfig();
    expect([rates, seeds, epochs, batch]).toEqual([[1e-3, 7.5e-4, 5e-4, 2.5e-4, 1e-4], 5, 50, 64]);
    expect([layerDecay, weightDecay, frozenShare]).toEqual([0.75, 0.05, 0]);
    const twob14 = { patchPixels: 14, width: 2560, blocks: 24, heads: 32, channels: 3, heightPixels: 224 };
    const vit = { ...smallEncoder(device).config, ...twob14, widthPixels: 224 };
    expect(vtabPreset("paper", vit)).toEqual({ frozenShare: 0.25 });
    expect(vtabPreset("paper", smallEncoder(device).config)).toEqual({});
    expect(vtabTasks.map(({ group }) => group)).toEqual([
      ...[...new Array(7).fill("natural"), ...new Array(4).fill("specialized"), ...new Array(8).fill("structured")],
    ]);
  });

  it("hold in a fine-tuning: schedule, positions, head, no file", { timeout: 60_000 }, async () => {
    const encoder = smallEncoder(device, "postnorm");
    const settings = vtabFinetuning(config, { rate: 0.02, seed: 0, pixels: side });
    const store = new MemoryRunStore();
    const { model, rates } = await tuned({ encoder, config: settings, store, rules: "vtab" });
    expect(await model.parameters.get("pos_embed.embed").read()).toEqual(await encoder.positions.read());
    expect(model.parameters.has("head_norm.weight")).toBe(false);
    const expected = Array.from({ length: 9 }, (_, update) => 0.02 * vtabLearningRateFactor(update, 9));
    expect(rates).toEqual(expected.map((rate) => expect.closeTo(rate, 12)));
    expect(await store.readText("classifier.safetensors")).toBeUndefined();
    const usual = await tuned({ encoder, config: settings, store });
    expect(usual.rates.at(-1)).not.toBe(rates.at(-1));
    expect(usual.model.parameters.has("head_norm.weight")).toBe(true);
    expect(await store.readText("classifier.safetensors")).toBeDefined();
    for (const one of [model, usual.model]) one.destroy();
  });

  it("squash images whatever their shape, and keep no more of them than there is room for", async () => {
    let loads = 0;
    const source = images(3, 2);
    const load: ImageSource["load"] = (...given) => {
      loads++;
      return source.load(...given);
    };
    const counted: ImageSource = { ...source, load };
    const squashed = squashedImages(counted, side, 2 * side * side);
    for (const index of [0, 1, 2, 0, 1, 2]) {
      const wanted = resizeBicubic(await source.load(index), side, side);
      expect(await squashed.load(index)).toEqual(wanted);
    }
    expect(loads).toBe(4);
    expect(squashed.label(1)).toBe(1);
  });
});

describe("means of VTAB-1k", () => {
  it("choose the best rate, and of equal ones the one whose text sorts first", () => {
    expect(chosenRate([run(1e-3, 0.5), run(1e-3, 0.7, 1), run(5e-4, 0.65), run(5e-4, 0.56, 1)])).toBe(5e-4);
    expect(chosenRate([run(1e-3, 0.5), run(1e-3, 0.7, 1), run(5e-4, 0.7), run(5e-4, 0.5, 1)])).toBe(5e-4);
    expect(() => chosenRate([])).toThrow(EvaluationError);
  });

  it("give standard errors of images and of seeds", () => {
    const labels = Int32Array.of(0, 1, 1, 0);
    const final = (seed: number, accuracy: number, predicted: Int32Array): VtabRun => ({
      ...{ ...run(1e-3, accuracy, seed), stage: "final", images: 4, predicted },
    });
    const runs = [final(0, 0.75, Int32Array.of(0, 1, 1, 1)), final(1, 0.5, Int32Array.of(0, 1, 0, 1))];
    const summary = summaryOfTask([], runs, labels);
    expect(summary.mean).toBe(0.625);
    // Shares of seeds that are right: 1, 1, 0.5, 0; mean 0.625, variance 0.171875.
    expect(summary.standardError).toBeCloseTo(Math.sqrt(0.171875 / 4), 12);
    expect(summary.seedError).toBeCloseTo(Math.sqrt(0.03125 / 2), 12);
    const [one] = runs;
    const alone = summaryOfTask([], one ? [one] : [], labels);
    expect(alone.standardError).toBeCloseTo(Math.sqrt((0.75 * 0.25) / 4), 12);
    expect(alone.seedError).toBeUndefined();
    const groups = summaryOfGroups([summary, { ...summary, task: "kitti", group: "structured", mean: 0.125 }]);
    expect(groups).toMatchObject([{ name: "natural" }, { name: "structured" }, { name: "all", tasks: 2, mean: 0.375 }]);
    expect(groups[2]?.standardError).toBeCloseTo(Math.sqrt(2 * (0.171875 / 4)) / 2, 12);
    expect(groups[2]?.seedError).toBeCloseTo(Math.sqrt(2 * (0.03125 / 2)) / 2, 12);
  });
});

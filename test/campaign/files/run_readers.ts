import { mkdir, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { readStoredRun, resumedSettings } from "../../../cli/runs/stored_run.ts";
import { type Device, openDevice } from "../../../engine/index.ts";
import { refineConfig } from "../../../refiner/index.ts";
import { readRun } from "../../../refiner/report/report_node.ts";
import { writeReport } from "../../../refiner/report/write_report.ts";
import { resumeRun } from "../../../refiner/training/resume.ts";
import { saveRunCheckpoint } from "../../../refiner/training/run_checkpoint.ts";
import { RunFolder } from "../../../refiner/training/run_folder_node.ts";
import { MemoryRunStore } from "../../../refiner/training/run_store.ts";
import { TrainingPlan } from "../../../refiner/training/training_plan.ts";
import { type Reader, type ReaderRecipe, WrongResult } from "./reader.ts";

const plan = new TrainingPlan([{ stage: 2, updates: 8, updatesPerEpoch: 2, evaluateEvery: 1 }]);
const newest = "checkpoints/000000004.safetensors";
const jsonWords = [
  "{",
  "}",
  "[",
  "]",
  ",",
  ":",
  '"',
  "null",
  "1e999",
  "-1",
  "0.5",
  "true",
  '"__proto__":',
  "\\u0000",
  "\n",
  "NaN",
];

/** State of a run whose every value is the number of updates. */
function stateAfter(device: Device, updates: number) {
  const tensors = {
    "encoder.weight": device.tensor(new Float32Array(35).fill(updates), [5, 7]),
    "queue.next": device.tensor([updates, updates], [2], "u32"),
    "head.bias": device.tensor(new Float32Array(3).fill(updates), [3]),
  };
  return { arenas: {}, tensors };
}

/** A store with checkpoints after two and four updates. */
async function storeOfTwo(device: Device): Promise<MemoryRunStore> {
  const store = new MemoryRunStore();
  for (const updates of [2, 4]) {
    const counters = { stage: "2", update: String(updates), updates: String(updates), seed: "7" };
    await saveRunCheckpoint(store, updates, stateAfter(device, updates), counters);
  }
  return store;
}

/** Goes on with the run of a store. @returns the updates that it has made, by its place and by all of its values */
async function resumed(device: Device, store: MemoryRunStore): Promise<ReadonlySet<number>> {
  const state = stateAfter(device, 0);
  const method = { name: "campaign", beginStage: async () => undefined, state: () => state };
  const run = resumeRun(store, plan, method);
  let next = await run.next();
  while (!next.done) next = await run.next();
  const found = new Set([next.value?.position.update ?? 0]);
  for (const tensor of Object.values(state.tensors)) {
    for (const value of await tensor.read()) found.add(value);
    tensor.destroy();
  }
  return found;
}

async function bytesOf(store: MemoryRunStore, file: string): Promise<Uint8Array> {
  const source = await store.open(file);
  return source.read(0, source.sizeBytes);
}

/** The newest checkpoint of a run is mutated: it is taken whole, or the one before it is. */
const checkpoints: ReaderRecipe = {
  name: "run checkpoint",
  share: 4,
  open: async (): Promise<Reader> => {
    const device = await openDevice({ notice: () => undefined });
    const whole = await storeOfTwo(device);
    const older = await bytesOf(whole, "checkpoints/000000002.safetensors");
    return {
      originals: [await bytesOf(whole, newest)],
      words: [
        '"',
        "{",
        "}",
        "4",
        "2",
        "F32",
        "U32",
        "data_offsets",
        "shape",
        "checksum",
        "update",
        "encoder.weight",
        " ",
      ],
      read: async (bytes) => {
        const store = new MemoryRunStore();
        await store.write("checkpoints/000000002.safetensors", (sink) => sink.write(older));
        await store.write(newest, (sink) => sink.write(bytes));
        const found = await resumed(device, store);
        const [updates] = found;
        if (found.size > 1 || (updates !== 2 && updates !== 4))
          throw new WrongResult(`resumed to a state of ${[...found].join(", ")} updates`);
        return updates === 4 ? "read" : "older checkpoint";
      },
    };
  },
};

function metricsLines(): string {
  const updates = Array.from({ length: 6 }, (_, i) => ({
    ...{ kind: "update", stage: 2, update: i + 1, of: 8, epoch: i / 2, loss: 3.5 - i / 8 },
    ...{ learningRate: { heads: 1e-3 }, gradientNorm: { heads: 0.5 }, imagesPerSecond: 90, waitShare: 0.1 },
    heads: { last: { loss: 3, nnSimilarity: 0.5 } },
  }));
  const knn = { kind: "knn", stage: 2, epoch: 1, weights: "encoder", k: 20, accuracy: [0.5, 0.75] };
  return [...updates.slice(0, 2), knn, ...updates.slice(2)].map((line) => `${JSON.stringify(line)}\n`).join("");
}

/** `metrics.jsonl` never stops a run from going on: lines that cannot be read are dropped. */
const metrics: ReaderRecipe = {
  name: "metrics.jsonl",
  share: 4,
  open: async (): Promise<Reader> => {
    const device = await openDevice({ notice: () => undefined });
    const store = await storeOfTwo(device);
    return {
      originals: [new TextEncoder().encode(metricsLines())],
      words: jsonWords,
      isJson: true,
      read: async (bytes) => {
        await store.write("metrics.jsonl", (sink) => sink.write(bytes));
        const found = [...(await resumed(device, store))];
        if (found.join() !== "4") throw new WrongResult(`resumed to a state of ${found.join(", ")} updates`);
        return "read";
      },
    };
  },
};

const storedRun = {
  version: "0.2.0",
  command: "refine",
  weights: "/data/mae.safetensors",
  images: "/data/images",
  imageCount: 80,
  fingerprint: {
    images: { names: "0f", labels: "1e", sizes: "2d" },
    weights: { size: "9", header: "3c", contents: "4b" },
  },
  adapter: { name: "llvmpipe", type: "software", backend: "vulkan", driver: "Mesa" },
  tuning: [["matmul 8x8x8", "register"]],
  settings: refineConfig({}, "small"),
};

/** What a run says about itself, and its settings. */
const configuration: ReaderRecipe = {
  name: "config.json of a run",
  share: 4,
  open: async (folder): Promise<Reader> => ({
    originals: [new TextEncoder().encode(JSON.stringify(storedRun, null, 2))],
    words: jsonWords,
    isJson: true,
    read: async (bytes) => {
      await writeFile(join(folder, "config.json"), bytes);
      const { settings } = await readStoredRun(new RunFolder(folder), "refine");
      refineConfig(resumedSettings(settings, { batch: 256 }, true));
      return "read";
    },
  }),
};

const reportData = {
  device: { name: "llvmpipe" },
  timings: [{ name: "stage 2", seconds: 3 }],
  memoryPlan: [{ name: "weights", bytes: 9 }],
};

/** The three files that a report is made of, one of them mutated: the first letter says which. */
const report: ReaderRecipe = {
  name: "files of a report",
  share: 2,
  open: async (folder): Promise<Reader> => {
    const files = ["config.json", "metrics.jsonl", "report_data.json"] as const;
    const contents = [JSON.stringify(storedRun), metricsLines(), JSON.stringify(reportData)];
    return {
      originals: contents.map((text, i) => new TextEncoder().encode(`${i}\n${text}`)),
      words: jsonWords,
      isJson: true,
      read: async (bytes) => {
        const mutated = (bytes[0] ?? 0) % files.length;
        for (const [i, file] of files.entries())
          await writeFile(join(folder, file), i === mutated ? bytes.subarray(1) : (contents[i] ?? ""));
        writeReport(await readRun(folder));
        return "read";
      },
    };
  },
};

/** The lock of a run folder: of an ended process, of another host, of anything else. */
const lock: ReaderRecipe = {
  name: "run lock",
  share: 4,
  open: async (folder): Promise<Reader> => {
    const line = (value: object) => new TextEncoder().encode(`${JSON.stringify(value)}\n`);
    const ended = { host: hostname(), process: 2 ** 22 + 1, started: "12 0", token: "a" };
    await mkdir(join(folder, "run"));
    return {
      originals: [
        line(ended),
        line({ ...ended, host: "elsewhere" }),
        line({ host: hostname(), process: process.ppid }),
      ],
      words: jsonWords,
      isJson: true,
      read: async (bytes) => {
        await writeFile(join(folder, "run/run.lock"), bytes);
        await (await new RunFolder(join(folder, "run")).hold())();
        return "taken over";
      },
    };
  },
};

export const runReaders: readonly ReaderRecipe[] = [checkpoints, metrics, configuration, report, lock];

import { differencesOf } from "../../../cli/evaluation/comparison.ts";
import { type Receipt, receiptSchema } from "../../../cli/evaluation/evaluation_line.ts";
import { requireSameProtocol } from "../../../cli/evaluation/receipt.ts";
import { memorySink, memorySource, openCheckpoint } from "../../../engine/files/index.ts";
import { openDevice } from "../../../engine/index.ts";
import { loadClassifier, saveClassifier } from "../../../models/checkpoints/index.ts";
import { Classifier, vitConfig } from "../../../models/index.ts";
import { readProbeHead, saveProbeHead } from "../../../refiner/evaluation/probes/probe_head_file.ts";
import { MemoryRunStore } from "../../../refiner/index.ts";
import type { Reader, ReaderRecipe } from "./reader.ts";

const images = {
  path: "/data/test",
  images: 64,
  digest: { names: "0f", sizes: "1e" },
  pixels: { images: 64, sha256: "2d" },
};
const stored: Receipt = {
  format: 1,
  version: "0.2.0",
  protocol: "linear",
  settings: { batch: 16, epochs: 2, rates: [0.1], cache: false },
  seed: 0,
  encoder: { weights: "/data/encoder.safetensors", digest: { size: "9" }, options: {} },
  train: { ...images, path: "/data/train" },
  test: images,
  adapter: { name: "llvmpipe", type: "software", backend: "vulkan", driver: "Mesa" },
  selection: { on: "held-out training images", text: "chosen on 6 training images" },
  scores: [{ name: "accuracy", value: 0.75, standardError: 0.05, images: 64 }],
};

/** `evaluate compare` sets a mutated receipt beside a whole one. */
const receipt: ReaderRecipe = {
  name: "receipt",
  share: 3,
  open: async (): Promise<Reader> => ({
    originals: [new TextEncoder().encode(JSON.stringify(stored, null, 2))],
    words: ["{", "}", "[", "]", ",", ":", '"', "null", "1e999", "-1", "0.5", "true", '"__proto__":', "\\u0000"],
    isJson: true,
    read: async (bytes) => {
      const { data } = receiptSchema.safeParse(parsed(new TextDecoder().decode(bytes)));
      if (!data) return "refused: no receipt";
      requireSameProtocol(stored, data);
      differencesOf(stored, data);
      return "read";
    },
  }),
};

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** The head that a linear probe leaves, and goes on with. */
const head: ReaderRecipe = {
  name: "probe head",
  share: 3,
  open: async (): Promise<Reader> => {
    const whole = new MemoryRunStore();
    const values = (length: number) => Float32Array.from({ length }, (_, i) => Math.cos(i));
    const trained = { weight: values(12), bias: values(3), mean: values(4), variance: values(4) };
    await saveProbeHead(whole, trained, { head: "one", epoch: 1 }, { classes: "3" });
    const source = await whole.open("head.safetensors");
    return {
      originals: [await source.read(0, source.sizeBytes)],
      words: ['"', "{", "}", "weight", "bias", "mean", "variance", "F32", "F16", "12", "3", "4", "[", "]"],
      read: async (bytes) => {
        const store = new MemoryRunStore();
        await store.write("head.safetensors", (sink) => sink.write(bytes));
        await readProbeHead(store, 3, 4, { head: "one", epoch: 1 });
        return "read";
      },
    };
  },
};

/** What `finetune` leaves and `predict` takes. */
const classifier: ReaderRecipe = {
  name: "classifier",
  share: 3,
  open: async (): Promise<Reader> => {
    const device = await openDevice({ notice: () => undefined });
    const shape = {
      patchPixels: 4,
      width: 8,
      blocks: 1,
      heads: 2,
      channels: 1,
      heightPixels: 8,
      widthPixels: 8,
    } as const;
    const description = {
      classNames: ["cat", "dog"],
      pooling: "cls",
      pixels: 8,
      mean: [0.5],
      deviation: [0.25],
    } as const;
    const sink = memorySink();
    await saveClassifier(sink, new Classifier(device, vitConfig(shape), description));
    return {
      originals: [sink.bytes()],
      words: [
        '\\"',
        "cat",
        "classNames",
        "pooling",
        "avg",
        "pixels",
        "head.weight",
        "[",
        "]",
        "{",
        "}",
        "0",
        "9999",
        "null",
        "F32",
      ],
      read: async (bytes) => {
        const file = await openCheckpoint(memorySource(bytes, "mutated"));
        const { model } = await loadClassifier(device, file, "mutated");
        model.destroy();
        return "read";
      },
    };
  },
};

export const evaluationReaders: readonly ReaderRecipe[] = [receipt, head, classifier];

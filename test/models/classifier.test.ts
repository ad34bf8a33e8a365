import { describe, expect, it } from "vitest";
import {
  type Checkpoint,
  hostTensor,
  memorySink,
  memorySource,
  openCheckpoint,
  TensorItem,
  writeSafetensors,
} from "../../engine/files/index.ts";
import { OptionError, recordProgram } from "../../engine/index.ts";
import { valuesOf } from "../../engine/testing/index.ts";
import {
  Classifier,
  type ClassifierDescription,
  classifierKey,
  classifierParameters,
  IncompleteWeightsError,
  initializeParameters,
  loadClassifier,
  loadEncoder,
  openEncoder,
  saveClassifier,
  saveEncoder,
  UnknownModelError,
  type VitConfig,
  vitConfig,
} from "../../models/index.ts";
import { testDevice } from "../device.ts";
import { randomEncoder } from "./random_encoder.ts";

const device = await testDevice();
const sizes = { patchPixels: 4, width: 8, blocks: 2, heads: 2, heightPixels: 8, widthPixels: 8 };
const description: ClassifierDescription = {
  classNames: ["cat", 'dog, "big"', "élan"],
  pooling: "cls",
  pixels: 8,
  mean: [0.1, 0.2, 0.3],
  deviation: [0.4, 0.5, 0.6],
};

/** Of a random encoder, with a head that is not almost zero. */
async function randomClassifier(changes: Partial<VitConfig & ClassifierDescription> = {}): Promise<Classifier> {
  const { classNames, pooling, pixels, mean, deviation, ...vit } = { ...description, ...changes };
  const config = vitConfig({ ...sizes, ...vit });
  const model = new Classifier(device, config, { classNames, pooling, pixels, mean, deviation });
  const encoder = randomEncoder(device, config);
  await model.copyEncoder(encoder);
  for (const name of ["head.weight", "head.bias"]) {
    const target = model.parameters.get(name);
    device.write(target, valuesOf("normal", name.length, target.size));
  }
  if (model.parameters.has("head_norm.weight"))
    device.write(model.parameters.get("head_norm.weight"), new Float32Array(8).fill(1.5));
  encoder.destroy();
  return model;
}

async function saved(model: Classifier): Promise<Checkpoint> {
  const sink = memorySink();
  await saveClassifier(sink, model);
  return openCheckpoint(memorySource(sink.bytes(), "saved"));
}

/** The same file with another tensor, or other metadata. */
async function altered(
  checkpoint: Checkpoint,
  change: {
    readonly tensors?: Record<string, readonly number[]>;
    readonly metadata?: Record<string, string | undefined>;
  },
): Promise<Checkpoint> {
  const items = new Map<string, TensorItem>();
  for (const [name, { shape }] of checkpoint.tensors) {
    const other = change.tensors?.[name] ?? shape;
    if (other.length === 0) continue;
    const size = other.reduce((product, length) => product * length, 1);
    items.set(name, TensorItem.of(hostTensor("f32", other, new Float32Array(size).fill(0.5))));
  }
  const metadata = { ...Object.fromEntries(checkpoint.metadata), ...change.metadata };
  const kept = Object.entries(metadata).flatMap(([key, value]) => (value === undefined ? [] : [[key, value] as const]));
  const sink = memorySink();
  await writeSafetensors(sink, items, Object.fromEntries(kept));
  return openCheckpoint(memorySource(sink.bytes(), "altered"));
}

async function logits(model: Classifier): Promise<ArrayLike<number>> {
  const shape = [3, 3, 8, 8];
  const program = recordProgram(device, (p) => ({ y: model.forward(p.input("images", shape)) }), { inference: true });
  const { y } = await (await program.run({ images: valuesOf("normal", 5, 3 * 192) }, ["y"])).read();
  program.destroy();
  return y ?? [];
}

describe("a classifier's file", () => {
  it.each([
    { kind: "prenorm", pooling: "cls" },
    { kind: "prenorm", pooling: "avg" },
    { kind: "postnorm", pooling: "cls" },
    { kind: "prenorm", pooling: "cls", layerScale: "parameters" },
  ] as const)("gives the same logits and classes when it is loaded: %o", async (changes) => {
    const model = await randomClassifier(changes);
    const { model: loaded, report } = await loadClassifier(device, await saved(model));
    expect(loaded.description).toEqual({ ...description, pooling: changes.pooling });
    expect(loaded.config).toEqual(model.config);
    expect(await logits(loaded)).toEqual(await logits(model));
    expect(new Set(Array.from(await logits(model))).size).toBe(9); // no two alike: nothing was left at zero
    expect([report.leftOver, report.missing]).toEqual([[], []]);
  });

  it("holds an encoder for whatever reads encoders", async () => {
    const model = await randomClassifier();
    const file = await saved(model);
    const { report } = await openEncoder(file);
    expect(report.dropped).toEqual([
      { names: ["head.weight", "head.bias"], reason: "classification or projection head" },
    ]);
    const { model: encoder } = await loadEncoder(device, file);
    expect(await encoder.parameters.get("norm.weight").read()).toEqual(
      await model.parameters.get("norm.weight").read(),
    );
    expect(await encoder.positions.read()).toEqual(await model.encoder.positions.read());
  });

  it("is refused without a word of classes", async () => {
    const sink = memorySink();
    await saveEncoder(sink, randomEncoder(device, vitConfig(sizes)));
    const file = await openCheckpoint(memorySource(sink.bytes(), "encoder"));
    const loading = loadClassifier(device, file, "encoder.safetensors");
    await expect(loading).rejects.toThrow(UnknownModelError);
    await expect(loading).rejects.toThrow(/encoder\.safetensors.*mimrefine finetune/);
  });

  it.each([
    ["a head of another width", { "head.weight": [3, 7] }, "head.weight is [3,7], expected [3,8]"],
    ["a head for other classes", { "head.weight": [4, 8] }, "head.weight is [4,8], expected [3,8]"],
    ["no head", { "head.bias": [] }, "head.bias is not in the file"],
  ] as const)("is refused with %s", async (_, tensors, message) => {
    const file = await altered(await saved(await randomClassifier()), { tensors });
    const loading = loadClassifier(device, file);
    await expect(loading).rejects.toThrow(IncompleteWeightsError);
    await expect(loading).rejects.toThrow(message);
  });

  it.each([
    "not JSON",
    "[1]",
    JSON.stringify({ ...description, classNames: [] }),
    JSON.stringify({ ...description, classNames: [1, 2, 3] }),
    JSON.stringify({ ...description, classNames: ["cat", "dog", "cat"] }),
    JSON.stringify({ ...description, pooling: "max" }),
    JSON.stringify({ ...description, pixels: 0 }),
    JSON.stringify({ ...description, deviation: [0, 1, 1] }),
    JSON.stringify({ ...description, mean: undefined }),
  ])("is refused with a damaged description: %s", async (text) => {
    const file = await altered(await saved(await randomClassifier()), { metadata: { [classifierKey]: text } });
    await expect(loadClassifier(device, file)).rejects.toThrow(OptionError);
  });
});

describe("a classifier", () => {
  it("starts with a head that is almost zero", async () => {
    const config = vitConfig(sizes);
    const model = new Classifier(device, config, description);
    initializeParameters(model.parameters, classifierParameters(config, 3), 1);
    const weight = Array.from(await model.parameters.get("head.weight").read());
    const deviation = Math.sqrt(weight.reduce((sum, value) => sum + value ** 2, 0) / weight.length);
    expect(deviation).toBeGreaterThan(1e-5);
    expect(deviation).toBeLessThan(4e-5);
    expect(new Set(await model.parameters.get("head.bias").read())).toEqual(new Set([0]));
  });

  it("is refused without classes, and with a class token that is not there", () => {
    const config = vitConfig(sizes);
    expect(() => new Classifier(device, config, { ...description, classNames: [] })).toThrow(OptionError);
    expect(() => new Classifier(device, vitConfig({ ...sizes, classTokens: 0 }), description)).toThrow(OptionError);
  });

  it("names the depth of every parameter for layer-wise decay", () => {
    const model = new Classifier(device, vitConfig({ ...sizes, kind: "postnorm" }), description);
    const depths = ["pos_embed.embed", "embed_norm.bias", "blocks.0.norm1.weight", "head_norm.weight", "head.bias"];
    expect(depths.map((name) => model.depthOf(name))).toEqual([0, 0, 1, 3, 3]);
    expect(() => model.depthOf("neck.weight")).toThrow(OptionError);
  });
});

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
import { cast, hostNormal, hostUniform, recordProgram } from "../../engine/index.ts";
import { maxError, roundOff } from "../../engine/testing/index.ts";
import {
  encoderContent,
  initializeParameters,
  loadEncoder,
  loadMae,
  MaskedAutoencoder,
  maeDecoderParameters,
  type Precision,
  saveEncoder,
  saveMae,
  untoldOptions,
  type VisionTransformer,
  vitConfig,
  vitParameters,
  type WriteOptions,
} from "../../models/index.ts";
import { modelBounds } from "../../refiner/conformance/bounds.ts";
import { isDecayed } from "../../refiner/training/schedule.ts";
import { testDevice } from "../device.ts";
import { randomEncoder } from "./random_encoder.ts";

const device = await testDevice();
const width = 32;
const blocks = 3;
const images = 4;
const tokens = 17;
const sizes = { patchPixels: 4, width, blocks, heads: 2, heightPixels: 16, widthPixels: 16 };

/** Factors between 0.25 and 1.75, told apart by block and branch. */
function gammaOf(name: string): Float32Array {
  return hostUniform(width, { seed: 5, purpose: name }).map((value) => 0.25 + 1.5 * value);
}

/** An encoder with LayerScale and biases that are not zero. */
function scaledEncoder(kind: "prenorm" | "postnorm" = "prenorm"): VisionTransformer {
  const model = randomEncoder(device, vitConfig({ ...sizes, kind, layerScale: "parameters" }));
  for (const [name, tensor] of model.parameters.tensors) {
    if (name.endsWith(".gamma")) device.write(tensor, gammaOf(name));
    if (/(proj|fc2)\.bias$/.test(name)) device.write(tensor, hostNormal(tensor.size, { seed: 6, purpose: name }));
  }
  return model;
}

async function saved(model: VisionTransformer, options: WriteOptions = {}): Promise<Checkpoint> {
  const sink = memorySink();
  await saveEncoder(sink, model, options);
  return openCheckpoint(memorySource(sink.bytes(), "saved"));
}

/** A file as others write it: only tensors, its factors under other names. */
async function foreign(model: VisionTransformer, style: "DINOv2" | "DeiT III"): Promise<Checkpoint> {
  const items = [...encoderContent(model).parameters].map(async ([name, { shape, read }]) => {
    const renamed = style === "DINOv2" ? name : name.replace(/\.ls([12])\.gamma$/, ".gamma_$1");
    return [renamed, TensorItem.of(hostTensor("f32", shape, await read()))] as const;
  });
  const sink = memorySink();
  await writeSafetensors(sink, new Map(await Promise.all(items)));
  return openCheckpoint(memorySource(sink.bytes(), "foreign"));
}

interface RunOptions {
  readonly precision?: Precision;
  readonly recompute?: boolean;
  readonly dropsPaths?: boolean;
}

/** Output `y` and the gradients of all parameters, by name. */
async function run(vit: VisionTransformer, { precision = "f32", recompute = false, dropsPaths = false }: RunOptions) {
  const rows = images * tokens;
  const kept = hostUniform(2 * blocks * images, { seed: 2, purpose: "keep" });
  const table = device.tensor(
    kept.map((draw) => (draw < 0.3 ? 0 : 1 / 0.7)),
    [2 * blocks, images],
  );
  const keep = Array.from({ length: blocks }, (_, j) => ({
    attention: { table, row: 2 * j },
    mlp: { table, row: 2 * j + 1 },
  }));
  const names = [...vit.parameters.tensors.keys()];
  const recorded = recordProgram(device, (program) => {
    const options = { precision, recompute, ...(dropsPaths ? { keep } : {}) };
    const y = cast(vit.forward(program.input("images", [images, 3, 16, 16]), options).rows, "f32");
    const targets = [...vit.parameters.tensors.values()];
    const gradients = program.gradients(y, targets, program.input("seed", y.shape));
    return { y, ...Object.fromEntries(gradients.map((gradient, i) => [names[i] ?? "", gradient])) };
  });
  const inputs = {
    images: hostNormal(images * 3 * 256, { seed: 3, purpose: "images" }),
    seed: hostNormal(rows * width, { seed: 4, purpose: "seed" }),
  };
  const values = await (await recorded.run(inputs, ["y", ...names] as "y"[])).read();
  recorded.destroy();
  return new Map<string, ArrayLike<number>>(Object.entries(values));
}

/**
 * Folded and kept factors differ in where they round: the weights, or the branch, its product and the sum after it. Each of the
 * 2 · blocks branches adds a sum of up to 4 · width products, in either form; norms bring every row back to size 1, and the
 * largest value compared with is above 1. Doubled, because the difference of both is measured.
 */
const forwardBound = 2 * 2 * blocks * (4 * width + 4) * roundOff;

describe("factors of LayerScale in a foreign file", () => {
  it.each(["DINOv2", "DeiT III"] as const)("give the same features folded and kept: %s", async (style) => {
    const model = scaledEncoder();
    const expected = (await run(model, {})).get("y") ?? [];
    const folded = await loadEncoder(device, await foreign(model, style), { heads: 2 });
    const kept = await loadEncoder(device, await foreign(model, style), { heads: 2, layerScale: "keep" });
    expect([folded.model.config.layerScale, kept.model.config.layerScale]).toEqual(["none", "parameters"]);
    expect(folded.model.parameters.tensors.has("blocks.0.ls1.gamma")).toBe(false);
    expect(await kept.model.parameters.get("blocks.2.ls2.gamma").read()).toEqual(gammaOf("blocks.2.ls2.gamma"));
    expect((await run(kept.model, {})).get("y")).toEqual(expected);
    expect(maxError((await run(folded.model, {})).get("y") ?? [], expected)).toBeLessThan(forwardBound);
    expect(folded.report.notes.join()).toContain("--layer-scale keep");
    expect([folded.report.leftOver, kept.report.leftOver]).toEqual([[], []]);
  });
});

describe("LayerScale", () => {
  it.each(["prenorm", "postnorm"] as const)("changes the output of a %s encoder", async (kind) => {
    const model = scaledEncoder(kind);
    const scaled = (await run(model, {})).get("y") ?? [];
    for (const [name, tensor] of model.parameters.tensors)
      if (name.endsWith(".gamma")) device.write(tensor, new Float32Array(width).fill(1));
    const ones = (await run(model, {})).get("y") ?? [];
    const plain = randomEncoder(device, vitConfig({ ...sizes, kind }));
    for (const [name, tensor] of plain.parameters.tensors)
      device.write(tensor, Float32Array.from(await model.parameters.get(name).read()));
    expect(maxError(scaled, ones)).toBeGreaterThan(0.1);
    expect(maxError(ones, (await run(plain, {})).get("y") ?? [])).toBeLessThan(forwardBound);
  });

  it.each<[string, RunOptions]>([
    ["as it is", {}],
    ["with drop path, recomputed", { dropsPaths: true, recompute: true }],
  ])("has the gradients that follow from those of the folded weights: %s", async (_, options) => {
    const model = scaledEncoder();
    const actual = await run(model, options);
    const folded = (await loadEncoder(device, await foreign(model, "DINOv2"), { heads: 2 })).model;
    const expected = await run(folded, options);
    const { gradient: bound } = modelBounds("f32", blocks);
    for (let j = 0; j < blocks; j++) {
      for (const [gammaName, layer] of [
        ["ls1.gamma", "attn.proj"],
        ["ls2.gamma", "mlp.fc2"],
      ]) {
        const name = `blocks.${j}.${gammaName}`;
        const gamma = gammaOf(name);
        const weight = await model.parameters.get(`blocks.${j}.${layer}.weight`).read();
        const bias = await model.parameters.get(`blocks.${j}.${layer}.bias`).read();
        const dWeight = expected.get(`blocks.${j}.${layer}.weight`) ?? [];
        const dBias = expected.get(`blocks.${j}.${layer}.bias`) ?? [];
        const inputs = weight.length / width;
        // W' = γ W and b' = γ b, so dγ_i = Σ_k dW'_ik W_ik + db'_i b_i, dW = γ dW', db = γ db'.
        const dGamma = Array.from(gamma, (_value, i) => {
          let sum = (dBias[i] ?? 0) * Number(bias[i]);
          for (let k = 0; k < inputs; k++) sum += (dWeight[i * inputs + k] ?? 0) * Number(weight[i * inputs + k]);
          return sum;
        });
        const ownWeight = Array.from(dWeight, (value, i) => (gamma[Math.floor(i / inputs)] ?? 0) * value);
        expect(maxError(actual.get(name) ?? [], dGamma), name).toBeLessThan(bound);
        expect(maxError(actual.get(`blocks.${j}.${layer}.weight`) ?? [], ownWeight), layer).toBeLessThan(bound);
      }
    }
    expect(
      maxError(actual.get("patch_embed.proj.weight") ?? [], expected.get("patch_embed.proj.weight") ?? []),
    ).toBeLessThan(bound);
  });

  it.skipIf(!device.features.has("shader-f16"))("is in f16 what it is in f32", async () => {
    const model = scaledEncoder();
    const expected = await run(model, { dropsPaths: true });
    const actual = await run(model, { dropsPaths: true, precision: "f16" });
    const bounds = modelBounds("f16", blocks);
    for (const [name, values] of expected)
      expect(maxError(actual.get(name) ?? [], values), name).toBeLessThan(
        name === "y" ? bounds.forward : bounds.gradient,
      );
  });

  it("starts at one small value, at the depth of its block, and is not decayed", async () => {
    const config = vitConfig({ ...sizes, layerScale: "parameters" });
    const model = randomEncoder(device, config);
    const values = async () => new Set(await model.parameters.get("blocks.1.ls1.gamma").read());
    expect(await values()).toEqual(new Set([Math.fround(1e-5)]));
    initializeParameters(model.parameters, vitParameters(config), 1, { layerScale: 0.1 });
    expect(await values()).toEqual(new Set([Math.fround(0.1)]));
    expect(() => initializeParameters(model.parameters, vitParameters(config), 1, { layerScale: Number.NaN })).toThrow(
      "blocks.0.ls1.gamma: a start value of NaN; give a finite number, such as 1e-5",
    );
    expect(model.depthOf("blocks.1.ls2.gamma")).toBe(2);
    expect(isDecayed("blocks.1.ls2.gamma", [width])).toBe(false);
  });

  it("is none unless it is asked for, and nothing else than it can be", () => {
    expect(vitConfig(sizes).layerScale).toBe("none");
    const wrong = JSON.parse('{"layerScale":"scalar"}');
    expect(() => vitConfig(sizes, wrong)).toThrow('vit: layerScale is "scalar"; choose from none, parameters');
  });
});

describe("a saved encoder with LayerScale", () => {
  it.each(["authors", "timm"] as const)("comes back with it, in names of %s", async (names) => {
    const model = scaledEncoder();
    const loaded = await loadEncoder(device, await saved(model, { names }));
    expect(loaded.model.config).toEqual(model.config);
    for (const [name, tensor] of model.parameters.tensors)
      expect(await loaded.model.parameters.get(name).read(), name).toEqual(await tensor.read());
    const folded = await loadEncoder(device, await saved(model, { names }), { layerScale: "fold" });
    expect(folded.model.config.layerScale).toBe("none");
  });

  it("needs --layer-scale keep where it is a PyTorch file of timm", async () => {
    const model = scaledEncoder();
    const options = { names: "timm", format: "pth" } as const;
    expect(untoldOptions(model.config, options)).toEqual(["--attention-heads 2", "--layer-scale keep"]);
    const checkpoint = await saved(model, options);
    const { model: loaded } = await loadEncoder(device, checkpoint, { heads: 2, layerScale: "keep" });
    expect(loaded.config).toEqual(model.config);
  });

  it.each<[WriteOptions]>([
    [{ names: "mae" }],
    [{ names: "mae", format: "pth" }],
    [{ names: "authors", format: "pth" }],
  ])("is not written where names have none: %j", async (options) => {
    await expect(saved(scaledEncoder(), options)).rejects.toThrow(
      /have no form for LayerScale .*--names timm.*--layer-scale fold/,
    );
  });

  it("comes back as the encoder of a masked autoencoder", async () => {
    const encoder = scaledEncoder();
    const model = new MaskedAutoencoder(encoder, { width: 8, blocks: 1, heads: 2 });
    initializeParameters(model.decoderParameters, maeDecoderParameters(encoder.config, model.decoder), 2);
    const sink = memorySink();
    await saveMae(sink, model);
    const loaded = await loadMae(device, await openCheckpoint(memorySource(sink.bytes())));
    expect(loaded.model.encoder.config).toEqual(encoder.config);
    expect(loaded.report.leftOver).toEqual([]);
  });
});

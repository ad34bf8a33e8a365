import { afterAll, describe, expect, it, vi } from "vitest";
import { Device, hostNormal } from "../../../engine/index.ts";
import { MaskedAutoencoder, type VisionTransformer, vitConfig } from "../../../models/index.ts";
import { MemoryRunStore, modelSettings, planPretraining, pretrain, pretrainConfig } from "../../../refiner/index.ts";
import { testDevice } from "../../device.ts";
import { randomEncoder } from "../../models/random_encoder.ts";

const device = await testDevice();
const vit = vitConfig({
  ...{ patchPixels: 4, width: 8, blocks: 2, heads: 2, mlpWidth: 20 },
  ...{ channels: 1, heightPixels: 8, widthPixels: 8 },
});
const decoder = { width: 12, blocks: 1, heads: 3, mlpWidth: 28 };
const schedule = { batch: 4, epochs: 1, warmup: 0 };
const images = Array.from({ length: 4 }, (_, i) => ({
  width: 8,
  height: 8,
  channels: 1 as const,
  data: Uint8Array.from({ length: 64 }, (_, pixel) => (pixel * (i + 3)) & 255),
}));

const owned: { destroy(): void }[] = [];
afterAll(() => {
  for (const one of owned) one.destroy();
});

function encoderOf(config = vit): VisionTransformer {
  const encoder = randomEncoder(device, config);
  owned.push(encoder);
  return encoder;
}

function maeOf(): MaskedAutoencoder {
  const model = new MaskedAutoencoder(encoderOf(), decoder);
  owned.push({ destroy: () => model.destroyDecoder() });
  model.decoderParameters.entries.forEach(({ name }, i) => {
    const tensor = model.decoderParameters.get(name);
    device.write(tensor, hostNormal(tensor.size, { seed: i, purpose: name }));
  });
  device.write(
    model.decoderPositions,
    hostNormal(model.decoderPositions.size, { seed: 1, purpose: "decoder positions" }),
  );
  return model;
}

async function values(model: MaskedAutoencoder): Promise<Record<string, number[]>> {
  const { encoder, decoderParameters, decoderPositions } = model;
  const tensors = [
    ...encoder.parameters.tensors,
    ...decoderParameters.tensors,
    ["positions", encoder.positions] as const,
    ["decoder positions", decoderPositions] as const,
  ];
  const all: Record<string, number[]> = {};
  for (const [name, tensor] of tensors) all[name] = [...(await tensor.read())];
  return all;
}

async function trained(encoder: VisionTransformer | MaskedAutoencoder, settings: Record<string, unknown>) {
  const store = new MemoryRunStore();
  const run = pretrain({ device, images, config: pretrainConfig(settings), store, encoder });
  for (;;) {
    const { done, value } = await run.next();
    if (done) return { model: value.model, store };
  }
}

describe("a given masked autoencoder", () => {
  it("begins with its own decoder and positions: no update leaves every value as it was", async () => {
    const given = maeOf();
    const before = await values(given);
    const settings = { ...modelSettings(vit, decoder), ...schedule };
    const { model } = await trained(given, { ...settings, epochs: 0 });
    expect(model).toBe(given);
    expect(await values(model)).toEqual(before);
    const { model: after } = await trained(given, settings);
    const now = await values(after);
    for (const [name, old] of Object.entries(before))
      if (name.endsWith("positions")) expect(now[name]).toEqual(old);
      else expect(now[name], name).not.toEqual(old);
  });

  it("decides the settings of the model, which others are refused for", async () => {
    const settings = { ...modelSettings(vit, decoder), ...schedule };
    const refused: [Record<string, unknown>, string][] = [
      [{ width: 16 }, "width is 16, the given model has 8"],
      [{ mlpWidth: 0 }, "mlpWidth is 0, the given model has 20"],
      [{ pixels: 4 }, "pixels is 4, the given model has 8"],
      [{ layerScaleStart: 0.1 }, "layerScaleStart is 0.1, the given model has 0"],
      [{ decoderHeads: 4 }, "decoderHeads is 4, the given model has 3"],
    ];
    const given = maeOf();
    for (const [other, text] of refused) await expect(trained(given, { ...settings, ...other })).rejects.toThrow(text);
    const colour = encoderOf(vitConfig({ ...vit, channels: 3 }));
    await expect(trained(colour, { ...modelSettings(colour.config), ...schedule })).rejects.toThrow(
      "the images have 1 channels, the given model takes 3",
    );
  });
});

describe("a given encoder", () => {
  it("keeps its positions, and gets a decoder of the settings", async () => {
    const given = encoderOf();
    const before = [...(await given.positions.read())];
    const sizes = { decoderWidth: 16, decoderBlocks: 2, decoderHeads: 4 };
    const { model, store } = await trained(given, { ...modelSettings(vit), ...sizes, ...schedule, epochs: 0 });
    expect(model.encoder).toBe(given);
    expect([...(await given.positions.read())]).toEqual(before);
    expect(model.decoder).toEqual({ width: 16, blocks: 2, heads: 4 });
    const positions = await model.decoderPositions.read();
    expect(positions.some((value) => value !== 0)).toBe(true);
    const file = await store.readText("mae.safetensors");
    expect(file).toContain('"mimrefine.source":"given weights"');
    model.destroyDecoder();
  });

  it.each([
    [{ kind: "postnorm" as const }, "is post-norm"],
    [{ classTokens: 2 }, "has 2 class tokens"],
    [{ widthPixels: 16 }, "takes 8 x 16 pixels"],
  ])("that no masked autoencoder has is refused: %o", (other, text) => {
    expect(() => modelSettings(vitConfig({ ...vit, ...other }))).toThrow(`the given encoder ${text}`);
  });
});

it("the plan of a pre-training is what its run holds", async () => {
  const given = maeOf();
  const config = pretrainConfig({ ...modelSettings(vit, decoder), ...schedule });
  const plan = planPretraining(device, config, { encoder: vit, decoder, images: images.length });
  const weights = [given.encoder.parameters, given.decoderParameters].reduce(
    (sum, { sizeBytes }) => sum + sizeBytes,
    0,
  );
  expect(plan.memory.gradients).toBe(weights);
  const created = vi.spyOn(Device.prototype, "createBuffer");
  await trained(given, { ...modelSettings(vit, decoder), ...schedule });
  const buffers = created.mock.calls.map(([label, bytes]) => ({ label, bytes }));
  created.mockRestore();
  const heldOf = (kind: RegExp): number =>
    buffers.filter(({ label }) => kind.test(label)).reduce((sum, { bytes }) => sum + bytes, 0);
  const { total, weights: own, inputs, ...kinds } = plan.memory;
  expect(plan.updates).toBe(1);
  expect(own).toBeGreaterThan(weights); // with the positions; the given model holds them already
  expect(kinds).toEqual({
    gradients: heldOf(/gradients chunk/),
    moments: heldOf(/moments chunk/),
    activations: heldOf(/ arena /),
  });
  expect(total).toBe(own + inputs + kinds.gradients + kinds.moments + kinds.activations);
  // Room is planned for images of the size that they are decoded to; these are smaller.
  expect(heldOf(/ inputs$/)).toBeGreaterThan(0);
  expect(heldOf(/ inputs$/)).toBeLessThanOrEqual(inputs);
  // Tables of the optimiser and of the engine, and what values are read back by, are not planned; nothing else is.
  const planned = / chunk | arena | inputs$/;
  const notPlanned = /^(parameter groups|block groups|index flags|staging)\b|uniforms$/;
  expect(buffers.filter(({ label }) => !planned.test(label) && !notPlanned.test(label))).toEqual([]);
});

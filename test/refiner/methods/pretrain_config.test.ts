import { describe, expect, it } from "vitest";
import { MemoryRunStore, pretrain, pretrainConfig } from "../../../refiner/index.ts";
import { testDevice } from "../../device.ts";

const device = await testDevice();
const small = { pixels: 8, patch: 4, width: 8, blocks: 2, attentionHeads: 2, batch: 4, epochs: 1, warmup: 0 };
const decoder = { decoderWidth: 8, decoderBlocks: 1, decoderHeads: 2 };
const images = Array.from({ length: 4 }, (_, i) => ({
  width: 8,
  height: 8,
  channels: 1 as const,
  data: Uint8Array.from({ length: 64 }, (_, pixel) => (pixel * (i + 3)) & 255),
}));

async function trained(settings: Record<string, unknown>) {
  const config = pretrainConfig({ ...small, ...decoder, ...settings });
  const run = pretrain({ device, images, config, store: new MemoryRunStore() });
  for (;;) {
    const next = await run.next();
    if (next.done) return next.value.model.encoder;
  }
}

describe("the setting layerScaleStart", () => {
  it("gives the encoder factors that start there and are trained", async () => {
    const encoder = await trained({ layerScaleStart: 0.5, learningRate: 0.1 });
    const factors = await encoder.parameters.get("blocks.1.ls2.gamma").read();
    expect(encoder.config.layerScale).toBe("parameters");
    expect(factors.every((factor) => Math.abs(factor - 0.5) < 0.1)).toBe(true);
    expect(factors.some((factor) => factor !== 0.5)).toBe(true);
  });

  it("leaves a model without factors as it was", async () => {
    const encoder = await trained({});
    expect([...encoder.parameters.tensors.keys()].filter((name) => name.includes("gamma"))).toEqual([]);
  });
});

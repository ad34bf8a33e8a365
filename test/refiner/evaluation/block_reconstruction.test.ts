import { describe, expect, it } from "vitest";
import { initializeParameters, MaskedAutoencoder, maeDecoderParameters, vitConfig } from "../../../models/index.ts";
import { imagesInMemory } from "../../../refiner/data/index.ts";
import { reconstructionOfBlocks } from "../../../refiner/evaluation/index.ts";
import { testDevice } from "../../device.ts";
import { randomEncoder } from "../../models/random_encoder.ts";

const device = await testDevice();
const config = vitConfig({
  patchPixels: 4,
  width: 16,
  blocks: 3,
  heads: 2,
  channels: 1,
  heightPixels: 16,
  widthPixels: 16,
});
const decoder = { width: 16, blocks: 1, heads: 2 };
const model = new MaskedAutoencoder(randomEncoder(device, config), decoder);
initializeParameters(model.decoderParameters, maeDecoderParameters(config, decoder), 2);
model.writeSincosPositions();

const source = imagesInMemory(
  Array.from({ length: 5 }, (_, i) => ({
    width: 16,
    height: 16,
    channels: 1 as const,
    data: Uint8Array.from({ length: 256 }, (_, at) => (at * (i + 3) * 7) % 256),
  })),
);

describe("reconstructionOfBlocks", () => {
  it("gives a loss per block, the same each time", async () => {
    const losses = await reconstructionOfBlocks(device, model, source, { batch: 2 });
    expect(losses).toHaveLength(3);
    // An untrained decoder predicts about nothing of patches of variance 1: n - 1 of n by the unbiased variance, and a bit more.
    for (const loss of losses) {
      expect(loss).toBeGreaterThan(0.9);
      expect(loss).toBeLessThan(6);
    }
    expect(new Set(losses).size).toBe(3);
    expect(await reconstructionOfBlocks(device, model, source, { batch: 2 })).toEqual(losses);
  });

  it("takes fewer images at a time where the device's limits ask for it", { timeout: 60_000 }, async (context) => {
    const limit = Math.min(device.limits.maxStorageBufferBindingSize, device.limits.maxBufferSize);
    if (limit > 2 ** 28) context.skip(`${device.info.name}: its limits are too large to reach in a test`);
    const small = vitConfig({ ...config, width: 4, blocks: 1, heads: 1, patchPixels: 1 });
    const tokens = 257;
    const wide = { width: 4, blocks: 1, heads: 1, mlpWidth: Math.ceil(limit / (4 * tokens * 2.5)) }; // two images fit, three do not
    const large = new MaskedAutoencoder(randomEncoder(device, small), wide);
    initializeParameters(large.decoderParameters, maeDecoderParameters(small, wide), 2);
    large.writeSincosPositions();
    const options = { images: 3, normalization: "biased" } as const; // one value has no unbiased variance
    const together = await reconstructionOfBlocks(device, large, source, { ...options, batch: 3 });
    const two = await reconstructionOfBlocks(device, large, source, { ...options, batch: 2 });
    large.destroyDecoder();
    large.encoder.destroy();
    expect(together).toEqual(two);
  });

  it("does not depend on the blocks behind the one that is read", async () => {
    const losses = await reconstructionOfBlocks(device, model, source, { batch: 5 });
    const last = model.encoder.parameters.get("blocks.2.mlp.fc2.weight");
    const kept = await last.read();
    device.write(last, new Float32Array(last.size));
    const changed = await reconstructionOfBlocks(device, model, source, { batch: 5 });
    device.write(last, kept);
    expect(changed.slice(0, 2)).toEqual(losses.slice(0, 2));
    expect(changed[2]).not.toBe(losses[2]);
  });
});

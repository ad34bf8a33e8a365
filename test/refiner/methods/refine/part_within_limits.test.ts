import { expect, it } from "vitest";
import { Device, OverLimitError, recordProgram } from "../../../../engine/index.ts";
import { initializeParameters, VisionTransformer, vitConfig, vitParameters } from "../../../../models/index.ts";
import { imagesInMemory } from "../../../../refiner/data/index.ts";
import { dryRun } from "../../../../refiner/methods/refine/planning/dry_run.ts";
import { partWithinLimits } from "../../../../refiner/methods/refine/planning/part_within_limits.ts";
import { refine } from "../../../../refiner/methods/refine/refine.ts";
import { type RefineSettings, refineConfig } from "../../../../refiner/methods/refine/refine_config.ts";
import { MemoryRunStore } from "../../../../refiner/training/run_store.ts";
import { testDevice } from "../../../device.ts";

const device = await testDevice();
const notices: string[] = [];
/** One binding holds the hidden rows of an MLP for 8 images (120 kB), not for 16. */
const limits = { maxStorageBufferBindingSize: 200_192, maxBufferSize: 2 ** 28 };

/** The test's device with less in one binding. */
class LimitedDevice extends Device {
  override get limits(): GPUSupportedLimits {
    return new Proxy(this.gpu.limits, {
      get: (target, name) => (name in limits ? Reflect.get(limits, name) : Reflect.get(target, name, target)),
    });
  }
}
const limited = new LimitedDevice(device.gpu, { device: device.gpu, notice: (line: string) => notices.push(line) });

const vit = vitConfig({ patchPixels: 4, width: 24, blocks: 3, heads: 3, heightPixels: 16, widthPixels: 16 });
const settings: RefineSettings = {
  ...{ heads: [1, "last"], projectorWidth: 32, predictorWidth: 32, outputWidth: 16, queueLength: 64, topK: 4 },
  ...{ batch: 16, stage2Epochs: 0.5, stage3Epochs: 1, localViews: 1 },
};

async function refined(own: RefineSettings): Promise<Uint8Array> {
  const encoder = new VisionTransformer(limited, vit);
  initializeParameters(encoder.parameters, vitParameters(vit), 1);
  encoder.writeSincosPositions();
  const images = imagesInMemory(
    Array.from({ length: 32 }, (_, i) => ({
      ...{ width: 20, height: 16, channels: 3 as const },
      data: Uint8Array.from({ length: 960 }, (__, k) => (k * (i + 3) * 7 + (i % 5) * 50) & 255),
    })),
  );
  const store = new MemoryRunStore();
  const run = refine({ encoder, images, config: refineConfig({ ...settings, ...own }), store });
  for await (const event of run) if (event.kind === "start") notices.splice(0);
  const source = await store.open("encoder.safetensors");
  return source.read(0, source.sizeBytes);
}

it("encodes a batch that is over the limits in the largest halves that are not, and says so", {
  timeout: 120_000,
}, async () => {
  const chosen = await refined({});
  expect(notices).toEqual([
    expect.stringMatching(/^stage 2: the batch of 16 is over the limits of .* encoded in micro-batches of 8/),
    expect.stringMatching(/^stage 3: the batch of 16 is over the limits of .* encoded in micro-batches of 8/),
  ]);
  expect(Buffer.compare(chosen, await refined({ microBatch: 8 }))).toBe(0);
  expect(notices).toEqual([]);
});

it("plans the micro-batch that a run takes, and refuses those that a run refuses", () => {
  const planned = (own: RefineSettings) => dryRun(limited, vit, refineConfig({ ...settings, ...own }), 100, 3);
  expect(planned({}).microBatch).toBe(8);
  expect(planned({ microBatch: 4 }).microBatch).toBe(4);
  expect(planned({ batch: 64, reproducible: true, gradientPart: 4 }).microBatch, "its views are over").toBe(4);
  expect(() => planned({ reproducible: true, gradientPart: 16 })).toThrow(OverLimitError);
  expect(() => planned({ microBatch: 16 })).toThrow(OverLimitError);
  expect(() => planned({ microBatch: 16 })).toThrow(
    /micro-batches of 16 are over the limits of the device, those of 8 are within them; .*maxStorageBufferBindingSize/,
  );
});

it("tells the first limit where not even one image is within", () => {
  const sizes: number[] = [];
  const refuse = (part: number): never => {
    sizes.push(part);
    throw new OverLimitError(`no room for ${part}`);
  };
  expect(() => partWithinLimits({ first: 10, isSet: false }, refuse)).toThrow("no room for 1");
  expect(sizes.splice(0)).toEqual([10, 5, 3, 2, 1]);
  expect(() => partWithinLimits({ first: 12, isSet: false, fixed: 3 }, refuse)).toThrow("no room for 3");
  expect(sizes).toEqual([12, 3]);
});

it("refuses inputs that are together over the largest buffer while they are recorded", () => {
  const record = (count: number) => () =>
    recordProgram(limited, (program) => {
      for (let i = 0; i < count; i++) program.input(`x${i}`, [50_000]);
      return {};
    });
  expect(record(1000)).not.toThrow();
  expect(record(1400)).toThrow(/its inputs have \d+ bytes together, over maxBufferSize 268435456; use a smaller batch/);
});

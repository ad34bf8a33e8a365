import { afterEach, expect, it, vi } from "vitest";
import { openCheckpoint } from "../../../../engine/files/index.ts";
import { type Outputs, RecordedProgram } from "../../../../engine/index.ts";
import { loadStep, type StepArray } from "../../../../engine/step/load_step.ts";
import { initializeParameters, VisionTransformer, vitConfig, vitParameters } from "../../../../models/index.ts";
import { exportRefineStep, type ImageItem, MemoryRunStore, refine, refineConfig } from "../../../../refiner/index.ts";
import { testDevice } from "../../../device.ts";

const device = await testDevice();
afterEach(() => vi.restoreAllMocks());

async function* photographs(): AsyncGenerator<ImageItem> {
  for (let i = 0; i < 20; i++)
    yield {
      width: 20,
      height: 16,
      channels: 3,
      data: Uint8Array.from({ length: 960 }, (_, k) => (k * (i + 3) * 7) & 255),
    };
}

function encoder(): VisionTransformer {
  const config = vitConfig({ patchPixels: 4, width: 16, blocks: 2, heads: 2, heightPixels: 16, widthPixels: 16 });
  const model = new VisionTransformer(device, config);
  initializeParameters(model.parameters, vitParameters(config), 1);
  model.writeSincosPositions();
  return model;
}

const settings = {
  heads: [0, "last"],
  projectorWidth: 16,
  predictorWidth: 16,
  outputWidth: 8,
  queueLength: 32,
  topK: 4,
  batch: 8,
  localViews: 2,
  stage2Epochs: 2,
  stage2Warmup: 0,
  stage3Epochs: 2,
  stage3Warmup: 1,
};

/** Refines up to so many updates of both stages (two per epoch). */
async function train(store: MemoryRunStore, config: ReturnType<typeof refineConfig>, until: number): Promise<void> {
  const stop = new AbortController();
  const run = refine({ encoder: encoder(), images: photographs(), config, store, resume: true, signal: stop.signal });
  for await (const event of run)
    if (event.kind === "update" && event.update + (event.stage === 3 ? 4 : 0) >= until) stop.abort();
}

const stages: [stage: number, first: number, last: number][] = [
  [2, 1, 4],
  [3, 6, 8],
];

it.each(stages)(
  "the exported update of stage %i gives the state of the run over its next updates, to the bit",
  { timeout: 120_000 },
  async (stage, first, last) => {
    const [store, config] = [new MemoryRunStore(), refineConfig(settings)];
    // One update is under way when a run is told to stop.
    await train(store, config, first - 1);
    const given = { encoder: encoder(), images: photographs(), config, store };
    const exported = await exportRefineStep(given);
    expect(exported.stage).toBe(stage);
    const inputs: Readonly<Record<string, StepArray>>[] = [];
    const original = RecordedProgram.prototype.run;
    vi.spyOn(RecordedProgram.prototype, "run").mockImplementation(function (
      this: RecordedProgram<Outputs>,
      values = {},
      read = [],
    ) {
      if ("headScalars" in values) inputs.push(structuredClone(values) as Record<string, StepArray>);
      return original.call(this, values, read);
    });
    await train(store, config, last);
    vi.restoreAllMocks();

    const step = await loadStep(device.gpu, Uint8Array.from(exported.bytes));
    expect(inputs.length).toBeGreaterThan(1);
    for (const values of inputs.slice(0, last - first + 1)) await step.run(values);
    const file = (await store.list("checkpoints")).at(-1);
    const checkpoint = await openCheckpoint(await store.open(`checkpoints/${file}`));
    for (const name of checkpoint.tensors.keys())
      if (Object.hasOwn(step.header.state, name))
        expect([name, await step.read(name)]).toEqual([name, (await checkpoint.read(name)).data]);
    expect(Object.keys(step.header.state).length).toBeGreaterThan(60);
    for (const buffer of step.buffers) buffer.destroy();
  },
);

it("refuses runs whose update is more than one program, and runs without a checkpoint", async () => {
  const given = { encoder: encoder(), images: photographs(), store: new MemoryRunStore() };
  const exported = (more: object) => exportRefineStep({ ...given, config: refineConfig({ ...settings, ...more }) });
  await expect(exported({ offload: ["moments"] })).rejects.toThrow(/keeps moments on the host/);
  await expect(exported({})).rejects.toThrow(/memory has no checkpoint yet/);
});

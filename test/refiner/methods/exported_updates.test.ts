import { afterEach, expect, it, vi } from "vitest";
import { openCheckpoint } from "../../../engine/files/index.ts";
import { type Outputs, RecordedProgram } from "../../../engine/index.ts";
import { loadStep, type StepArray } from "../../../engine/step/load_step.ts";
import {
  type ExportedStep,
  exportFinetuneStep,
  exportPretrainStep,
  finetune,
  finetuneConfig,
  imagesInMemory,
  MemoryRunStore,
  pretrain,
  pretrainConfig,
} from "../../../refiner/index.ts";
import { testDevice } from "../../device.ts";
import { classNames, smallBatch, smallEncoder } from "./finetune/small_task.ts";

const device = await testDevice();
afterEach(() => vi.restoreAllMocks());

const { images, labels } = smallBatch(16);
const labelled = imagesInMemory(images, { labels: [...labels], classNames });

/** A training of four updates of 8 images. */
interface Training {
  /** Goes on up to so many updates. */
  train(store: MemoryRunStore, until: number): AsyncGenerator<unknown>;
  exported(store: MemoryRunStore): Promise<ExportedStep>;
}

function pretraining(): Training {
  const config = pretrainConfig({
    ...{ pixels: 12, patch: 4, width: 16, blocks: 1, attentionHeads: 2, decoderWidth: 16, decoderBlocks: 1 },
    ...{ decoderHeads: 2, batch: 8, epochs: 2, warmup: 1 },
  });
  const given = { device, images, config };
  return {
    train: (store, until) => pretrain({ ...given, store, resume: true, until }),
    exported: (store) => exportPretrainStep({ ...given, store }),
  };
}

function finetuning(settings: object = {}): Training {
  const config = finetuneConfig({ batch: 8, epochs: 2, warmup: 1, dropPath: 0.4, ema: 0.9, ...settings });
  const given = { encoder: smallEncoder(device), images: labelled, config };
  return {
    train: (store, until) => finetune({ ...given, store, resume: true, until }),
    exported: (store) => exportFinetuneStep({ ...given, store }),
  };
}

async function exhaust(events: AsyncGenerator<unknown>): Promise<void> {
  for await (const _ of events);
}

const trainings: [name: string, training: () => Training, tensors: number][] = [
  ["pretrain", pretraining, 100],
  ["finetune", finetuning, 100],
];

it.each(trainings)(
  "the exported update of %s gives the state of the run over its next updates, to the bit",
  { timeout: 120_000 },
  async (name, training, tensors) => {
    const [store, { train, exported }] = [new MemoryRunStore(), training()];
    await exhaust(train(store, 1));
    const { bytes, update } = await exported(store);
    expect(update).toBe(1);
    const inputs: Readonly<Record<string, StepArray>>[] = [];
    const original = RecordedProgram.prototype.run;
    vi.spyOn(RecordedProgram.prototype, "run").mockImplementation(function (
      this: RecordedProgram<Outputs>,
      values = {},
      read = [],
    ) {
      if ("scalars" in values) inputs.push(structuredClone(values) as Record<string, StepArray>);
      return original.call(this, values, read);
    });
    await exhaust(train(store, 3));
    vi.restoreAllMocks();

    const step = await loadStep(device.gpu, Uint8Array.from(bytes));
    expect(step.header.metadata).toMatchObject({ method: name, stage: "1", update: "1" });
    expect(inputs.length).toBe(2);
    for (const values of inputs) await step.run(values);
    const file = (await store.list("checkpoints")).at(-1);
    const checkpoint = await openCheckpoint(await store.open(`checkpoints/${file}`));
    const names = [...checkpoint.tensors.keys()].filter((one) => Object.hasOwn(step.header.state, one));
    for (const one of names) expect([one, await step.read(one)]).toEqual([one, (await checkpoint.read(one)).data]);
    expect(names.length).toBeGreaterThan(tensors);
    for (const buffer of step.buffers) buffer.destroy();
  },
);

it("an update of more than one program is not exported, nor one without a checkpoint", async () => {
  const { train, exported } = finetuning({ microBatch: 4 });
  const store = new MemoryRunStore();
  await expect(exported(store)).rejects.toThrow("memory has no checkpoint yet");
  await exhaust(train(store, 1));
  await expect(exported(store)).rejects.toThrow("an update of this run is 2 programs (micro-batches");
});

import type { Device } from "../../engine/index.ts";
import { finetune, type ImageSource, pretrain, type RunStore, refine } from "../../refiner/index.ts";
import type { Output } from "../output/streams.ts";
import { fingerprintOf } from "./fingerprint.ts";
import { checkSameData, type StoredRun } from "./stored_run.ts";
import { withStoredTraining } from "./stored_training.ts";

/** What a stored run is computed again with. */
export interface AgainOptions {
  readonly device: Device;
  /** That it goes on in. */
  readonly store: RunStore;
  /** Completed updates of all stages that it stops after. */
  readonly until: number;
  readonly output: Output;
}

/**
 * Goes on with a stored run, as its command would, without evaluations.
 *
 * @throws UsageError where its data or weights are no more what they were, or it is no training
 */
export async function trainAgain(stored: StoredRun, { device, store, until, output }: AgainOptions): Promise<void> {
  const goOn = { store, resume: true, until };
  const again = async (images: ImageSource, events: AsyncGenerator): Promise<void> => {
    await checkData(stored, images, output);
    for (;;) if ((await events.next()).done) return;
  };
  await withStoredTraining(
    stored,
    { command: "verify", device, output },
    {
      refine: (opened) => again(opened.images, refine({ ...opened, ...goOn })),
      pretrain: (opened) => again(opened.images, pretrain({ ...opened, ...goOn })),
      finetune: (opened) => again(opened.images, finetune({ ...opened, ...goOn })),
    },
  );
}

async function checkData(stored: StoredRun, source: ImageSource, output: Output): Promise<void> {
  const { weights } = stored;
  const read = { images: { path: stored.images, source }, ...(weights === undefined ? {} : { weights }) };
  checkSameData(stored, source.length, await fingerprintOf(read), { isOverride: false, output });
}

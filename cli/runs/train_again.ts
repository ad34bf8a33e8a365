import type { Device } from "../../engine/index.ts";
import {
  finetune,
  finetuneConfig,
  type ImageSource,
  pretrain,
  pretrainConfig,
  type RunStore,
  refine,
  refineConfig,
} from "../../refiner/index.ts";
import { channelsOf, loadWeights } from "../checkpoints/encoder_of_file.ts";
import type { Output } from "../output/streams.ts";
import { openCommandImages } from "../program/open_images.ts";
import { UsageError } from "../program/usage_error.ts";
import { closeFinetuneImages, openFinetuneImages } from "./finetune_images.ts";
import { fingerprintOf } from "./fingerprint.ts";
import { loadGivenModel, maeOptions } from "./pretrain_weights.ts";
import { firstOf } from "./report_pictures.ts";
import { checkSameData, type StoredRun } from "./stored_run.ts";
import { requireFiles } from "./weights_inputs.ts";

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
export async function trainAgain(stored: StoredRun, options: AgainOptions): Promise<void> {
  const { command } = stored;
  if (command === "pretrain") return pretrainAgain(stored, options);
  if (command === "finetune") return finetuneAgain(stored, options);
  if (command === "refine" || command === "demo") return refineAgain(stored, options);
  throw new UsageError(
    `verify: the run is one of ${command ?? "an older version"}; give one of refine, pretrain or finetune`,
  );
}

async function refineAgain(stored: StoredRun, { device, store, until, output }: AgainOptions): Promise<void> {
  const config = refineConfig(stored.settings);
  const files = requireFiles("refine", stored);
  const { weights } = files;
  const decoding = { channels: await channelsOf(weights, files), workers: config.workers, imageKey: files.imageKey };
  const opening = await openCommandImages(files.images, decoding, output);
  const images = files.firstImages === undefined ? opening : firstOf(opening, files.firstImages);
  try {
    await checkData(stored, images, output);
    const encoder = await loadWeights(device, weights, files);
    await exhaust(refine({ encoder, images, config, store, resume: true, until }));
  } finally {
    await opening.close?.();
  }
}

async function pretrainAgain(stored: StoredRun, { device, store, until, output }: AgainOptions): Promise<void> {
  const config = pretrainConfig(stored.settings);
  const { weights, channels, imageKey } = stored;
  const decoding = { ...(channels === undefined ? {} : { channels }), workers: config.workers, imageKey };
  const images = await openCommandImages(stored.images, decoding, output);
  try {
    await checkData(stored, images, output);
    const encoder =
      weights === undefined ? undefined : await loadGivenModel(device, weights, maeOptions(stored, config), output);
    const given = encoder === undefined ? {} : { encoder };
    await exhaust(pretrain({ device, images, config, store, resume: true, until, ...given }));
  } finally {
    await images.close?.();
  }
}

async function finetuneAgain(stored: StoredRun, { device, store, until, output }: AgainOptions): Promise<void> {
  const config = finetuneConfig(stored.settings);
  const files = requireFiles("finetune", stored);
  const { weights, test } = files;
  const decoding = { channels: await channelsOf(weights, files), workers: config.workers, imageKey: files.imageKey };
  const source = await openCommandImages(files.images, decoding, output);
  const images = await openFinetuneImages(source, { test, evaluate: stored.evaluate !== false, decoding }, output);
  try {
    await checkData(stored, images.train, output);
    const encoder = await loadWeights(device, weights, files);
    await exhaust(finetune({ encoder, images: images.train, config, store, resume: true, until }));
  } finally {
    await closeFinetuneImages(images);
  }
}

async function checkData(stored: StoredRun, source: ImageSource, output: Output): Promise<void> {
  const { weights } = stored;
  const read = { images: { path: stored.images, source }, ...(weights === undefined ? {} : { weights }) };
  checkSameData(stored, source.length, await fingerprintOf(read), { isOverride: false, output });
}

async function exhaust(events: AsyncGenerator<unknown, unknown>): Promise<void> {
  for (;;) if ((await events.next()).done) return;
}

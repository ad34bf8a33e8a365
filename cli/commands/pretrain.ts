import { resolve } from "node:path";
import process from "node:process";
import { Command, Option } from "commander";
import type { Device } from "../../engine/index.ts";
import { openImages } from "../../refiner/data/index_node.ts";
import { type PretrainResult, pretrain, pretrainConfig, pretrainSchema } from "../../refiner/index.ts";
import type { Output } from "../output/streams.ts";
import { type CommandContext, finishCommand, outputOf } from "../program/context.ts";
import { listenForInterruption } from "../program/interrupt.ts";
import { type CommonOptions, openCommandDevice } from "../program/options.ts";
import { addSettings, checkedSettings, givenSettings } from "../program/settings.ts";
import { sharedOption } from "../program/shared_options.ts";
import { UsageError } from "../program/usage_error.ts";
import { followRun } from "../runs/follow_run.ts";
import { openRunFolder, removeOldRun } from "../runs/run_folder.ts";
import {
  checkSameImages,
  type RunInputs,
  readStoredRun,
  resumedSettings,
  resumeOn,
  writeStoredRun,
} from "../runs/stored_run.ts";

interface PretrainOptions extends CommonOptions {
  readonly images?: string;
  readonly out: string;
  readonly resume: boolean | string;
  readonly override: boolean;
  readonly force: boolean;
  readonly config?: string;
  readonly channels?: string;
  readonly split?: "train" | "test";
}

/** `mimrefine pretrain` */
export function pretrainCommand(context: CommandContext): Command {
  const command = new Command("pretrain")
    .summary("train a masked autoencoder from scratch")
    .description(
      "Trains a vision transformer as a masked autoencoder (MAE) on a folder of images, without labels. The result, OUT/mae.safetensors, is what `mimrefine refine --weights` takes.",
    )
    .addOption(sharedOption("images"))
    .addOption(sharedOption("runFolder", { default: "runs/pretrain" }))
    .addOption(new Option("--channels <number>", "grey or colour (default: as stored)").choices(["1", "3"]))
    .addOption(sharedOption("resume", { default: false }))
    .addOption(sharedOption("override", { default: false }))
    .addOption(sharedOption("force", { default: false }));
  addSettings(command, pretrainSchema).action((options: PretrainOptions) => runPretrain(context, command, options));
  return finishCommand(
    command,
    "mimrefine pretrain --images train/ --pixels 64 --patch 8 --width 128 --blocks 8 --attention-heads 4 --batch 128 --epochs 50 --out runs/mae\nmimrefine pretrain --resume runs/mae",
  );
}

async function runPretrain(context: CommandContext, command: Command, options: PretrainOptions): Promise<void> {
  const output = outputOf(context, options);
  const isResumed = options.resume !== false;
  const out = typeof options.resume === "string" ? options.resume : options.out;
  if (!isResumed && options.images === undefined) throw new UsageError("pretrain: --images is needed");
  const given = await givenSettings(command, pretrainSchema, options.config);
  checkedSettings(() => pretrainConfig(given.values), given); // names wrong keys and values before anything is opened
  const reads = { "--images": options.images };
  const store = await openRunFolder("pretrain", out, { resume: isResumed, force: options.force, reads });
  const stored = isResumed ? await readStoredRun(store, "pretrain") : undefined;
  const config = pretrainConfig(
    stored ? resumedSettings(stored.settings, given.values, options.override) : given.values,
  );
  const images = options.images ?? stored?.images ?? "";
  const channels = options.channels === undefined ? stored?.channels : options.channels === "1" ? 1 : 3;
  const source = await openImages(images, {
    ...(channels === undefined ? {} : { channels }),
    workers: config.workers,
  });
  if (stored) checkSameImages(stored, source.length, options.override);
  const device = await openCommandDevice(options, output, isResumed ? "stored" : "cache");
  const interruption = listenForInterruption((text) => output.notice(text));
  try {
    const difference = stored && resumeOn(device, stored);
    if (difference !== undefined) output.warning(difference);
    const inputs: RunInputs = {
      images: resolve(images),
      imageCount: source.length,
      ...(channels === undefined ? {} : { channels }),
    };
    const start = performance.now();
    const run = pretrain({
      device,
      images: source,
      config,
      store,
      resume: isResumed,
      hostBytes: () => process.memoryUsage().rss,
      signal: interruption.signal,
    });
    let last: Record<string, number> = {};
    const { result } = await followRun(run, output, {
      start: async () => {
        if (!isResumed) await removeOldRun(store);
        await writeStoredRun(store, "pretrain", device, { ...inputs, settings: config });
      },
      update: ({ loss, imagesPerSecond }) => {
        last = { loss, imagesPerSecond };
      },
    });
    const { finished, updates } = result;
    const numbers = { ...last, updates, ...skippedOf(result) };
    report(output, numbers, { device, start, images: source.length, out, finished });
    const code = interruption.exitCode();
    if (code !== undefined && !finished) {
      output.notice(`saved; go on with: mimrefine pretrain --resume ${out}`);
      context.exitCode = code;
    }
  } finally {
    interruption.stop();
    device.close();
    await source.close?.();
  }
}

function skippedOf({ skippedUpdates }: PretrainResult): Record<string, number> {
  return skippedUpdates === undefined ? {} : { skippedUpdates };
}

function report(
  output: Output,
  last: Record<string, number>,
  run: { device: Device; start: number; images: number; out: string; finished: boolean },
): void {
  const seconds = (performance.now() - run.start) / 1000;
  output.line(
    `${run.finished ? "finished" : "stopped"} after ${last.updates} updates, loss ${last.loss?.toFixed(4) ?? "?"}, ${seconds.toFixed(0)} s`,
  );
  if (run.finished) output.line(`weights: ${run.out}/mae.safetensors`);
  output.result({
    adapter: run.device.info.name,
    seconds,
    images: run.images,
    finished: run.finished,
    ...last,
    out: run.out,
  });
}

import { Command } from "commander";
import { z } from "zod";
import type { Device } from "../../engine/index.ts";
import packageJson from "../../package.json" with { type: "json" };
import { openImages } from "../../refiner/data/index_node.ts";
import {
  type PretrainConfig,
  type PretrainResult,
  pretrain,
  pretrainConfig,
  pretrainSchema,
} from "../../refiner/index.ts";
import type { RunFolder } from "../../refiner/run_folder_node.ts";
import { type CommandContext, finishCommand, outputOf } from "../context.ts";
import { listenForInterruption } from "../interrupt.ts";
import { type CommonOptions, openCommandDevice } from "../options.ts";
import type { Output } from "../output.ts";
import { Progress } from "../progress.ts";
import { openRunFolder, resumedSettings } from "../run_folder.ts";
import { addSettings, givenSettings } from "../settings.ts";
import { UsageError } from "../usage_error.ts";

interface PretrainOptions extends CommonOptions {
  readonly images?: string;
  readonly out: string;
  readonly resume: boolean;
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
    .option("--images <path>", "folder, IDX or CIFAR file, tar, CSV or JSON-lines list of images")
    .option("--out <folder>", "run folder", "runs/pretrain")
    .option("--channels <number>", "1 or 3 (default: as stored)")
    .option("--resume", "go on with the run in --out", false)
    .option("--override", "with --resume, force settings that differ from those of the run", false)
    .option("--force", "start over in a folder that holds a run", false);
  addSettings(command, pretrainSchema).action((options: PretrainOptions) => runPretrain(context, command, options));
  return finishCommand(
    command,
    "mimrefine pretrain --images train/ --pixels 64 --patch 8 --width 128 --blocks 8 --attention-heads 4 --batch 128 --epochs 50 --out runs/mae\nmimrefine pretrain --resume --images train/ --out runs/mae",
  );
}

async function runPretrain(context: CommandContext, command: Command, options: PretrainOptions): Promise<void> {
  const output = outputOf(context, options);
  const { images, out, resume, force } = options;
  if (images === undefined) throw new UsageError("pretrain: --images is needed");
  const given = await givenSettings(command, pretrainSchema, options.config);
  const store = await openRunFolder(out, { resume, force });
  const config = resume
    ? pretrainConfig(resumedSettings(await storedSettings(store), given, options.override))
    : pretrainConfig(given);
  const channels = options.channels === undefined ? undefined : options.channels === "1" ? 1 : 3;
  const source = await openImages(images, channels === undefined ? {} : { channels });
  const device = await openCommandDevice(options, output);
  const interruption = listenForInterruption((text) => output.notice(text));
  try {
    if (!resume) await writeConfig(store, device, config, images);
    const start = performance.now();
    const run = pretrain({ device, images: source, config, store, resume, signal: interruption.signal });
    let progress: Progress | undefined;
    let last: Record<string, number> = {};
    for (;;) {
      const next = await run.next();
      if (next.done) {
        progress?.end();
        report(
          output,
          { ...last, updates: next.value.updates, ...skippedOf(next.value) },
          { device, start, images: source.length, out, finished: next.value.finished },
        );
        break;
      }
      const event = next.value;
      if (event.kind === "update") {
        progress ??= new Progress(output, event.of, "updates");
        progress.update(event.update);
        last = { loss: event.loss, imagesPerSecond: event.imagesPerSecond };
      } else if (event.kind === "notice") output.notice(event.text);
    }
    const code = interruption.exitCode();
    if (code !== undefined) {
      output.notice(`saved; go on with: mimrefine pretrain --resume --images ${images} --out ${out}`);
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

const storedSchema = z.looseObject({ settings: z.record(z.string(), z.unknown()) });

async function storedSettings(store: RunFolder): Promise<Record<string, unknown>> {
  return storedSchema.parse(JSON.parse((await store.readText("config.json")) ?? "{}")).settings;
}

async function writeConfig(store: RunFolder, device: Device, config: PretrainConfig, images: string): Promise<void> {
  const { name, type, backend, driver } = device.info;
  const value = {
    version: packageJson.version,
    command: "pretrain",
    images,
    adapter: { name, type, backend, driver },
    tuning: device.tuning.entries(),
    settings: config,
  };
  await store.writeText("config.json", `${JSON.stringify(value, null, 2)}\n`);
}

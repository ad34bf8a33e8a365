import process from "node:process";
import { Command } from "commander";
import { z } from "zod";
import { openCheckpoint } from "../../engine/files/index.ts";
import type { Device } from "../../engine/index.ts";
import { fileSource } from "../../engine/platform/files_node.ts";
import { completeConfig, formatReport, loadEncoder, openEncoder, type VisionTransformer } from "../../models/index.ts";
import packageJson from "../../package.json" with { type: "json" };
import type { ImageSource } from "../../refiner/data/index.ts";
import { openImages } from "../../refiner/data/index_node.ts";
import {
  knnOfBlocks,
  type RefineConfig,
  type RefineEvent,
  type RefineResult,
  refine,
  refineConfig,
  refinePresets,
  refineSchema,
  subset,
  withClassNames,
} from "../../refiner/index.ts";
import type { RunFolder } from "../../refiner/run_folder_node.ts";
import { type CommandContext, finishCommand, outputOf } from "../context.ts";
import { printDryRun } from "../dry_run.ts";
import { listenForInterruption } from "../interrupt.ts";
import { type CommonOptions, memorySize, openCommandDevice, wholeNumber } from "../options.ts";
import type { Output } from "../output.ts";
import { Progress } from "../progress.ts";
import { openRunFolder, resumedSettings } from "../run_folder.ts";
import { addSettings, asLists, givenSettings } from "../settings.ts";
import { UsageError } from "../usage_error.ts";

interface RefineCommandOptions extends CommonOptions {
  readonly weights?: string;
  readonly images?: string;
  readonly test?: string;
  readonly preset?: string;
  readonly out: string;
  readonly resume: boolean;
  readonly override: boolean;
  readonly force: boolean;
  readonly config?: string;
  readonly attentionHeads?: number;
  readonly evaluate: boolean;
  readonly dryRun: boolean;
  readonly memory?: number;
}

/** `mimrefine refine` */
export function refineCommand(context: CommandContext): Command {
  const command = new Command("refine")
    .summary("refine a pre-trained encoder")
    .description(
      "Refines a vision transformer that was pre-trained by masked image modelling: stage 2 trains contrastive heads on the frozen encoder, stage 3 trains both. No labels are needed; where the images have some, k-NN accuracy per block is measured before and after. The result is OUT/encoder.safetensors. A run can be stopped (Ctrl-C) and resumed without changing its result.",
    )
    .option("--weights <file>", "checkpoint with the pre-trained encoder")
    .option("--images <path>", "folder, IDX or CIFAR file, tar, CSV or JSON-lines list of images")
    .option("--test <path>", "labelled images to evaluate on; default: every fifth of the training images")
    .option("--preset <name>", `published recipe or small: ${Object.keys(refinePresets).join(", ")}`)
    .option("--out <folder>", "run folder", "runs/refine")
    .option("--resume", "go on with the run in --out", false)
    .option("--override", "with --resume, force settings that differ from those of the run", false)
    .option("--force", "start over in a folder that holds a run", false)
    .option(
      "--attention-heads <number>",
      "attention heads of the encoder, where the file does not tell",
      wholeNumber(1),
    )
    .option(
      "--dry-run",
      "print parameters, memory and work of the run, and what to change if it does not fit; computes nothing",
      false,
    )
    .option(
      "--memory <size>",
      "with --dry-run, device memory to fit into, such as 24GB (WebGPU tells none)",
      memorySize,
    )
    .option("--no-evaluate", "do not measure k-NN accuracy");
  addSettings(command, refineSchema).action((options: RefineCommandOptions) => runRefine(context, command, options));
  return finishCommand(
    command,
    "mimrefine refine --weights mae_pretrain_vit_large.pth --images train/ --preset mae_l16 --out runs/x\nmimrefine refine --resume --weights mae_pretrain_vit_large.pth --images train/ --out runs/x",
  );
}

async function runRefine(context: CommandContext, command: Command, options: RefineCommandOptions): Promise<void> {
  const output = outputOf(context, options);
  const { weights, images, out, resume, force } = options;
  if (weights === undefined || images === undefined) throw new UsageError("refine: --weights and --images are needed");
  const { preset, ...given } = asLists(await givenSettings(command, refineSchema, options.config), ["heads"]);
  const name = options.preset ?? (typeof preset === "string" ? preset : undefined);
  if (options.dryRun) {
    return planRefine(options, refineConfig({ ...given, seed: options.seed }, name), { weights, images }, output);
  }
  const store = await openRunFolder(out, { resume, force });
  const config = resume
    ? refineConfig(resumedSettings(await storedSettings(store), given, options.override))
    : refineConfig({ ...given, seed: options.seed }, name);
  const source = await openImages(images, {
    channels: await channelsOf(weights),
    ...(config.workers > 0 ? { workers: config.workers } : {}),
  });
  const device = await openCommandDevice(options, output);
  const interruption = listenForInterruption((text) => output.notice(text));
  try {
    const encoder = await loadWeights(device, weights, options, output);
    if (!resume) await writeConfig(store, device, config, { weights, images });
    const start = performance.now();
    const evaluate = options.evaluate ? await evaluationOf(device, source, config, options, output) : undefined;
    warnOfFewUpdates(config, source, output);
    const run = refine({
      encoder,
      images: source,
      config,
      store,
      resume,
      hostBytes: () => process.memoryUsage().rss,
      signal: interruption.signal,
      ...(evaluate ? { evaluate } : {}),
    });
    const result = await follow(run, output);
    const seconds = (performance.now() - start) / 1000;
    if (result.finished) output.line(`refined in ${seconds.toFixed(0)} s; weights: ${out}/encoder.safetensors`);
    printKnn(result, output);
    output.result({
      adapter: device.info.name,
      seconds,
      images: source.length,
      finished: result.finished,
      ...(result.skippedUpdates === undefined ? {} : { skippedUpdates: result.skippedUpdates }),
      metrics: Object.fromEntries(Object.entries(result.knn).map(([when, knn]) => [when, { knn }])),
      out,
    });
    const code = interruption.exitCode();
    if (code !== undefined && !result.finished) {
      output.notice(
        `saved; go on with: mimrefine refine --resume --weights ${weights} --images ${images} --out ${out}`,
      );
      context.exitCode = code;
    }
  } finally {
    interruption.stop();
    device.close();
    await source.close?.();
  }
}

async function planRefine(
  options: RefineCommandOptions,
  config: RefineConfig,
  files: { readonly weights: string; readonly images: string },
  output: Output,
): Promise<void> {
  const checkpoint = await openCheckpoint(await fileSource(files.weights));
  const heads = options.attentionHeads === undefined ? {} : { heads: options.attentionHeads };
  const vit = completeConfig((await openEncoder(checkpoint, heads, files.weights)).config, files.weights);
  await checkpoint.close();
  const source = await openImages(files.images, { channels: vit.channels === 1 ? 1 : 3 });
  const device = await openCommandDevice(options, output);
  try {
    warnOfFewUpdates(config, source, output);
    printDryRun(device, vit, config, source.length, options.memory, output);
  } finally {
    device.close();
    await source.close?.();
  }
}

async function follow(run: AsyncGenerator<RefineEvent, RefineResult>, output: Output): Promise<RefineResult> {
  let progress: Progress | undefined;
  let stage = 0;
  for (;;) {
    const next = await run.next();
    if (next.done) {
      progress?.end();
      return next.value;
    }
    const event = next.value;
    if (event.kind === "update") {
      if (event.stage !== stage) {
        progress?.end();
        output.notice(`stage ${event.stage}: ${event.of} updates`);
        progress = new Progress(output, event.of, "updates");
        stage = event.stage;
      }
      progress?.update(event.update);
    } else if (event.kind === "notice") output.notice(event.text);
    else if (event.kind === "knn")
      output.notice(`k-NN after stage ${event.stage} (${event.weights}): ${event.accuracy.map(percent).join(" ")}`);
  }
}

function percent(share: number): string {
  return (100 * share).toFixed(1);
}

function printKnn(result: RefineResult, output: Output): void {
  const { before, afterStage2, after } = result.knn;
  if (!before) return;
  const column = (values: readonly number[] | undefined, block: number): string =>
    values ? percent(values[block] ?? Number.NaN) : "-";
  output.table([
    ["block", "before", "after stage 2", "after stage 3"],
    ...before.map((_, block) => [
      String(block),
      column(before, block),
      column(afterStage2, block),
      column(after, block),
    ]),
  ]);
}

/** Fewer updates than this rarely suffice: the moving average and the queue need that many to settle. */
const fewUpdates = 2000;

function warnOfFewUpdates(config: RefineConfig, source: ImageSource, output: Output): void {
  const perEpoch = Math.floor(source.length / config.batch);
  const updates = Math.round((config.stage2Epochs + config.stage3Epochs) * perEpoch);
  if (updates >= fewUpdates) return;
  const batch = Math.max(
    16,
    2 ** Math.floor(Math.log2((source.length * (config.stage2Epochs + config.stage3Epochs)) / fewUpdates)),
  );
  const smaller = Math.min(batch, config.batch);
  const ema = Math.max(0.9, 1 - 50 / Math.max(updates, 1)).toFixed(4);
  output.notice(
    `only ${updates} updates are planned (${source.length} images, batch ${config.batch}); small sets do better with --preset small, or with --batch ${smaller} --ema ${Math.min(Number(ema), config.ema)} --queue-length ${Math.min(config.queueLength, 2 ** Math.floor(Math.log2(Math.max(64, source.length / 2))))} --stage3-epochs ${Math.ceil((fewUpdates * smaller) / source.length)}`,
  );
}

async function evaluationOf(
  device: Device,
  source: ImageSource,
  config: RefineConfig,
  options: RefineCommandOptions,
  output: Output,
) {
  const isLabelled = source.label(0) !== undefined;
  if (!isLabelled && options.test === undefined) return undefined;
  const order = Array.from({ length: source.length }, (_, i) => i);
  const named = (other: ImageSource): ImageSource =>
    source.classNames ? withClassNames(other, source.classNames) : other;
  const bank =
    options.test === undefined
      ? subset(
          source,
          order.filter((i) => i % 5 !== 0),
        )
      : source;
  const queries =
    options.test === undefined
      ? subset(
          source,
          order.filter((i) => i % 5 === 0),
        )
      : named(await openImages(options.test, { channels: source.channels, split: "test" }));
  if (!isLabelled) output.notice("the training images have no labels, so k-NN accuracy is not measured");
  if (!isLabelled) return undefined;
  return async (encoder: VisionTransformer): Promise<readonly number[]> => {
    const { accuracy } = await knnOfBlocks(device, encoder, bank, queries, {
      k: config.k,
      temperature: config.kTemperature,
      pooling: config.pooling,
    });
    return accuracy;
  };
}

async function channelsOf(weights: string): Promise<1 | 3> {
  const checkpoint = await openCheckpoint(await fileSource(weights));
  const { config } = await openEncoder(checkpoint, {}, weights);
  await checkpoint.close();
  return config.channels === 1 ? 1 : 3;
}

async function loadWeights(
  device: Device,
  weights: string,
  options: RefineCommandOptions,
  output: Output,
): Promise<VisionTransformer> {
  const checkpoint = await openCheckpoint(await fileSource(weights));
  const heads = options.attentionHeads === undefined ? {} : { heads: options.attentionHeads };
  const { model, report } = await loadEncoder(device, checkpoint, heads, weights);
  await checkpoint.close();
  for (const line of formatReport(report)) output.notice(line);
  return model;
}

const storedSchema = z.looseObject({ settings: z.record(z.string(), z.unknown()) });

async function storedSettings(store: RunFolder): Promise<Record<string, unknown>> {
  return storedSchema.parse(JSON.parse((await store.readText("config.json")) ?? "{}")).settings;
}

async function writeConfig(
  store: RunFolder,
  device: Device,
  settings: RefineConfig,
  files: { weights: string; images: string },
): Promise<void> {
  const { name, type, backend, driver } = device.info;
  const value = {
    version: packageJson.version,
    command: "refine",
    ...files,
    adapter: { name, type, backend, driver },
    tuning: device.tuning.entries(),
    settings,
  };
  await store.writeText("config.json", `${JSON.stringify(value, null, 2)}\n`);
}

import { access } from "node:fs/promises";
import { relative } from "node:path";
import process from "node:process";
import { Command } from "commander";
import type { Device } from "../../engine/index.ts";
import type { VisionTransformer } from "../../models/index.ts";
import type { ImageSource } from "../../refiner/data/index.ts";
import { openImages } from "../../refiner/data/index_node.ts";
import { knnOfBlocks, type RefineEvent, type RefineResult, refine } from "../../refiner/index.ts";
import { reportRun, saveReportData } from "../../refiner/report/report_node.ts";
import type { RunFolder } from "../../refiner/training/run_folder_node.ts";
import { type DemoFiles, demoFiles, loadDemoEncoder } from "../demo_run/demo_files.ts";
import {
  chosenSchedule,
  type DemoSchedule,
  demoSchedule,
  estimatedSeconds,
  measureUpdate,
} from "../demo_run/demo_schedule.ts";
import { knnTable, knnText } from "../output/knn_table.ts";
import { LiveTable } from "../output/live_table.ts";
import { formatSeconds, Progress } from "../output/progress.ts";
import type { Output } from "../output/streams.ts";
import { type CommandContext, finishCommand, outputOf } from "../program/context.ts";
import { listenForInterruption } from "../program/interrupt.ts";
import { type CommonOptions, openCommandDevice } from "../program/options.ts";
import { sharedOption } from "../program/shared_options.ts";
import { fingerprintOf } from "../runs/fingerprint.ts";
import { followRun } from "../runs/follow_run.ts";
import { onDevices } from "../runs/recovery.ts";
import { firstOf, picturesOf } from "../runs/report_pictures.ts";
import { openRunFolder, removeOldRun } from "../runs/run_folder.ts";
import { inModeOf, readStoredRun, resumeOn, writeStoredRun } from "../runs/stored_run.ts";

export interface DemoOptions extends CommonOptions {
  readonly out?: string;
  readonly full: boolean;
  readonly force: boolean;
}

/** `mimrefine demo` */
export function demoCommand(context: CommandContext): Command {
  const command = new Command("demo")
    .summary("refine a small encoder on handwritten digits that come with the package")
    .description(
      "Refines a tiny encoder, pre-trained as a masked autoencoder, on handwritten digits. Both come with the package: nothing is downloaded and no option is needed. Measures the machine first, and runs a short schedule where the full one would take more than three minutes; with --reproducible always the short one, without --full. Shows the k-NN accuracy of every block before and after, and writes a run folder with a report.",
    )
    .addOption(sharedOption("runFolder", { more: "default: the first free one of runs/demo, runs/demo-2, …" }))
    .option("--full", "run the full schedule, however long it takes", false)
    .addOption(sharedOption("force", { default: false }))
    .action((options: DemoOptions) => runDemo(context, options));
  return finishCommand(command, "mimrefine demo\nmimrefine demo --full --out runs/digits --json");
}

/** Everything that a run of the demo works with. */
interface DemoRun {
  readonly device: Device;
  readonly files: DemoFiles;
  readonly schedule: DemoSchedule;
  readonly train: ImageSource;
  readonly test: ImageSource;
  readonly store: RunFolder;
  readonly output: Output;
}

/** Chooses the schedule for a device. */
type ScheduleChoice = (device: Device, files: DemoFiles, train: ImageSource) => Promise<DemoSchedule>;

/**
 * Runs the demo.
 *
 * @param choose - default: measures the device
 */
export async function runDemo(context: CommandContext, options: DemoOptions, choose?: ScheduleChoice): Promise<void> {
  const output = outputOf(context, options);
  const files = await demoFiles();
  const out = options.out ?? (await freeFolder("runs/demo"));
  const { store, release } = await openRunFolder("demo", out, { resume: false, force: options.force });
  const interruption = listenForInterruption((text) => output.notice(text));
  const { signal } = interruption;
  const start = performance.now();
  try {
    const [train, test] = await Promise.all([files.train, files.test].map((file) => openImages(file, { channels: 1 })));
    if (!train || !test) return;
    let begun: DemoSchedule | undefined; // goes on where its device is lost
    const open = () => openDemoDevice(begun && store, options, output);
    await onDevices({ store, output, signal, open }, async (device) => {
      const schedule = begun ?? (await (choose ?? choiceOf(options, output))(device, files, train));
      const run: DemoRun = {
        device,
        files,
        schedule,
        train: firstOf(train, schedule.trainImages),
        test: firstOf(test, schedule.testImages),
        store,
        output,
      };
      const isResumed = begun !== undefined;
      if (!isResumed) await beginDemo(run);
      begun = schedule;
      const result = await refined(run, { resume: isResumed, signal });
      if (!result.finished) {
        output.notice(`stopped; ${out} holds what was done`);
        context.exitCode = interruption.exitCode() ?? 1;
        return;
      }
      const seconds = (performance.now() - start) / 1000;
      const report = await writeReport(run, result, seconds);
      const { before = [], afterStage2 = [], after = [] } = result.knn;
      output.table(knnTable(result.knn));
      output.line(closingText(run, seconds, report));
      output.result({
        adapter: device.info.name,
        seconds,
        images: run.train.length,
        metrics: { before: { knn: before }, afterStage2: { knn: afterStage2 }, after: { knn: after } },
        out,
      });
    });
  } finally {
    interruption.stop();
    await release();
  }
}

/** @param begun - the store of a run that goes on, with the kernel variants that it began with */
async function openDemoDevice(begun: RunFolder | undefined, options: DemoOptions, output: Output): Promise<Device> {
  if (!begun) return openCommandDevice(options, output);
  const stored = await readStoredRun(begun, "refine");
  const device = await openCommandDevice(inModeOf(stored, options), output, "stored");
  resumeOn(device, stored);
  return device;
}

/** Removes the run that this one replaces, and writes what it says about itself. */
async function beginDemo({ device, files, schedule, train, store }: DemoRun): Promise<void> {
  await removeOldRun(store);
  const { weights } = files;
  const fingerprint = await fingerprintOf({ images: { path: files.train, source: train }, weights });
  const imageCount = train.length; // a short schedule takes fewer than there are
  const inputs = {
    ...{ weights, images: files.train, test: files.test, imageCount, fingerprint, schedule: schedule.name },
    ...{ firstImages: schedule.trainImages, firstTestImages: schedule.testImages },
  };
  await writeStoredRun(store, "demo", device, { ...inputs, settings: schedule.config });
}

/** The first of NAME, NAME-2, NAME-3, … that does not exist. */
async function freeFolder(name: string): Promise<string> {
  for (let number = 1; ; number++) {
    const folder = number === 1 ? name : `${name}-${number}`;
    const isTaken = await access(folder).then(
      () => true,
      () => false,
    );
    if (!isTaken) return folder;
  }
}

/** Measures the adapter and says which schedule it gets, unless one is asked for; a reproducible run does not depend on its speed. */
function choiceOf({ full, seed }: DemoOptions, output: Output): ScheduleChoice {
  return async (device, files, train) => {
    if (full || device.reproducible) return demoSchedule(full ? "full" : "short", seed);
    output.notice(`measuring ${device.info.name} …`);
    const update = await measureUpdate(await loadDemoEncoder(device, files), train);
    const schedule = chosenSchedule(update, seed);
    const time = (one: DemoSchedule): string => formatSeconds(estimatedSeconds(one, update));
    const choice =
      schedule.name === "full"
        ? `running the full schedule, about ${time(schedule)}`
        : `the full schedule would take about ${time(demoSchedule("full", seed))} (--full); running a ${schedule.name} one, about ${time(schedule)}`;
    output.notice(`an update takes ${update.toFixed(2)} s: ${choice}`);
    return schedule;
  };
}

async function refined(
  run: DemoRun,
  { resume, signal }: { readonly resume: boolean; readonly signal: AbortSignal },
): Promise<RefineResult> {
  const { device, files, schedule, train, test, store, output } = run;
  const { k, kTemperature, pooling } = schedule.config;
  const encoder = await loadDemoEncoder(device, files);
  output.notice(
    `${train.length} digits to refine on, without their labels; ${test.length} held-out ones are classified by their ${k} nearest`,
  );
  const evaluate = async (measured: VisionTransformer): Promise<readonly number[]> => {
    const progress = new Progress(output, train.length + test.length, "images encoded");
    const onProgress = (done: number): void => progress.update(done);
    const found = await knnOfBlocks(device, measured, train, test, {
      signal,
      k,
      temperature: kTemperature,
      pooling,
      onProgress,
    });
    progress.end();
    return found.accuracy;
  };
  return follow(refine({ encoder, images: train, config: schedule.config, store, resume, signal, evaluate }), output);
}

/** k-NN accuracies as they become known, in the order of the columns. */
type KnnColumns = RefineResult["knn"];

async function follow(run: AsyncGenerator<RefineEvent, RefineResult>, output: Output): Promise<RefineResult> {
  const table = new LiveTable(output);
  const known: { -readonly [name in keyof KnnColumns]: KnnColumns[name] } = {};
  const { result } = await followRun(run, output, {
    stage: ({ stage }) => `updates of stage ${stage}`,
    knn: ({ stage, accuracy }) => {
      known[columnOf[stage]] = accuracy;
      if (output.streams.isTerminal) table.show(knnTable(known, "…"));
      else output.notice(knnText(momentOf[stage], accuracy));
    },
    clear: () => table.clear(),
  });
  return result;
}

const columnOf = { 1: "before", 2: "afterStage2", 3: "after" } as const;
const momentOf = { 1: "before", 2: "after stage 2 (heads only)", 3: "after stage 3" } as const;

async function writeReport(
  { device, files, train, test, store }: DemoRun,
  result: RefineResult,
  seconds: number,
): Promise<string> {
  const before = await loadDemoEncoder(device, files);
  const { name, type, backend, driver } = device.info;
  await saveReportData(store.name, {
    ...(await picturesOf(device, { before, after: result.ema }, { train, test })),
    device: { name, type, backend, driver },
    timings: [{ name: "refinement with k-NN evaluations", seconds }],
    memoryPlan: [{ name: "held at the end", bytes: device.counters.heldBytes }],
  });
  return reportRun(store.name);
}

function closingText({ store }: DemoRun, seconds: number, report: string): string {
  return `
refined in ${formatSeconds(seconds)}; weights: ${store.name}/encoder.safetensors, report: ${relative(process.cwd(), report)}

The same on images of your own:
  npx mimrefine pretrain --images my_images/ --pixels 64 --patch 8 --width 128 --blocks 8 --attention-heads 4 --batch 128 --epochs 50 --out runs/mae
  npx mimrefine refine --weights runs/mae/mae.safetensors --images my_images/ --preset small --heads 4,5,6,last --out runs/refined
  npx mimrefine embed --weights runs/refined/encoder.safetensors --images my_images/ --out features.npy`;
}

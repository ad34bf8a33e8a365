import { createHash } from "node:crypto";
import type { Command } from "commander";
import type { VisionTransformer } from "../../../models/index.ts";
import type { ImageSource } from "../../../refiner/data/index.ts";
import {
  planVtab,
  timeVtab,
  type VtabConfig,
  type VtabResult,
  vtabConfig,
  vtabPreset,
  vtabPresets,
  vtabSchema,
  vtabTasks,
} from "../../../refiner/index.ts";
import {
  openVtabImages,
  readVtabFolder,
  type VtabFolder,
  vtabTasksOf,
} from "../../../refiner/vtab/vtab_folder_node.ts";
import { formatSeconds } from "../../output/progress.ts";
import { formatBytes } from "../../output/streams.ts";
import { tuningOf } from "../../program/options.ts";
import { addSettings, checkedSettings, givenSettings } from "../../program/settings.ts";
import { sharedOption } from "../../program/shared_options.ts";
import { UsageError } from "../../program/usage_error.ts";
import type { JobImages } from "../evaluation_job.ts";
import type { Score, Selection } from "../evaluation_line.ts";
import type { PlannedProtocolRun, Protocol, ProtocolOptions, ProtocolResult, ProtocolRun } from "../protocol.ts";
import { usedPresetText } from "../protocol_presets.ts";
import { groupScoreName, taskScoreName, vtabCsv, vtabTable, writeVtabPredictions } from "../vtab_files.ts";
import { followVtab } from "./follow_vtab.ts";

interface VtabProtocolOptions extends ProtocolOptions {
  readonly preset?: string;
  readonly tasks?: readonly string[];
  readonly config?: string;
  readonly dryRun: boolean;
}

/** Settings with an option of their own; the others are options of every protocol. */
const ownSettings = vtabSchema.omit({ maxBad: true });
const taskNames = vtabTasks.map(({ name }) => name);
const presetNames = vtabPresets.join(", ");

/** `mimrefine evaluate vtab` */
export const vtabProtocol: Protocol<VtabProtocolOptions> = {
  name: "vtab",
  summary: "VTAB-1k: fine-tuning on 19 tasks of 1000 images each",
  description:
    "Fine-tunes the whole encoder with a linear head on each task of VTAB-1k, as vtab1k-pytorch does: five learning rates with five seeds each on 800 images, the rate of the best mean accuracy on 200 others, and five seeds of it on all 1000, which are tested after the last epoch. --images is the published vtab-1k.zip as it is, or a folder with a folder (or TASK.zip) per task, each with the lists train800.txt, val200.txt, train800val200.txt and test.txt (lines of file and class). The number is the mean over the tasks. With --out it can be stopped and gone on with at any time; runs/ there holds a file per finished run, table.csv the table.",
  example:
    "mimrefine evaluate vtab --weights encoder.safetensors --images vtab-1k/ --dry-run\nmimrefine evaluate vtab --weights encoder.safetensors --images vtab-1k/ --tasks cifar,svhn,kitti --out runs/vtab\nmimrefine evaluate vtab --resume runs/vtab",
  isResumable: true,
  addOptions(command) {
    command
      .addOption(sharedOption("preset", { more: `${presetNames} (default: paper)` }))
      .option("--tasks <names>", `tasks with commas, of ${taskNames.join(", ")} (default: all)`, namesOf)
      .addOption(sharedOption("dryRun", { more: "the time is that of a few measured steps", default: false }));
    addSettings(command, ownSettings);
  },
  async check(options, command) {
    const { test, confusion, imageKey, tasks = [] } = options;
    const refused = { "--test": test, "--confusion": confusion, "--image-key": imageKey };
    const [wrong] = Object.entries(refused).find(([, value]) => value !== undefined) ?? [];
    if (wrong !== undefined)
      throw new UsageError(
        `evaluate vtab: ${wrong} has no meaning here, since every task has lists and classes of its own; drop it${wrong === "--confusion" ? ", and take --predictions" : ""}`,
      );
    const unknown = tasks.filter((name) => !taskNames.includes(name));
    if (unknown.length > 0)
      throw new UsageError(
        `evaluate vtab: there is no task ${unknown.join(", ")}; choose from ${taskNames.join(", ")} (--tasks)`,
      );
    if (new Set(tasks).size < tasks.length) throw new UsageError("evaluate vtab: --tasks names a task twice");
    presetOf(options);
    const { values, ...given } = await givenSettings(command, ownSettings, options.config);
    checkedSettings(() => vtabConfig({ ...values }), given); // names wrong keys and values before anything is opened
  },
  async openImages(options, { channels, workers }, open) {
    const folder = await readVtabFolder(options.images, options.tasks ?? taskNames);
    const openOnes = (images: typeof folder.train) =>
      openVtabImages(options.images, images, {
        ...(channels ? { channels } : {}),
        ...(workers === undefined ? {} : { workers }),
      });
    const [train, test] = [openOnes(folder.train), openOnes(folder.test)];
    open.push(train, test);
    folders.set(train, folder);
    return { train, test };
  },
  async digests(job) {
    return { "the lists of the tasks": sha256Of(JSON.stringify(tasksOf(job).lists)) };
  },
  plan: tellPlan,
  evaluate: evaluateVtab,
};

function namesOf(text: string): string[] {
  return text.split(",").map((name) => name.trim());
}

function presetOf({ preset = "paper" }: VtabProtocolOptions): (typeof vtabPresets)[number] {
  const found = vtabPresets.find((name) => name === preset);
  if (found) return found;
  throw new UsageError(`evaluate vtab: there is no preset ${preset}; choose from ${presetNames}`);
}

/** Settings of the preset, those of the file, and the options, in that order. */
async function configOf(
  options: VtabProtocolOptions,
  command: Command,
  { config }: VisionTransformer,
): Promise<VtabConfig> {
  const { values, ...given } = await givenSettings(command, ownSettings, options.config);
  const { seed, maxBad } = options;
  const settings = { ...vtabPreset(presetOf(options), config), ...values, seed, maxBad };
  return checkedSettings(() => vtabConfig(settings), given);
}

function sha256Of(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

/** What the lists said, by the training images that were opened for them. */
const folders = new WeakMap<ImageSource, VtabFolder>();

/** The tasks on the images that were opened, and what their lists are. */
function tasksOf(images: JobImages) {
  const folder = folders.get(images.train);
  if (!folder) throw new RangeError("evaluate vtab: these images were not opened by lists of tasks");
  const lists = folder.tasks.map(({ name, lists }) => [
    name,
    Object.fromEntries(
      Object.entries(lists).map(([list, { places, sha256 }]) => [list, { images: places.length, sha256 }]),
    ),
  ]);
  return { tasks: vtabTasksOf(folder, images), lists: Object.fromEntries(lists) };
}

/** @returns false where only the plan was asked for */
async function tellPlan(run: PlannedProtocolRun, options: VtabProtocolOptions, command: Command): Promise<boolean> {
  if (run.resume) return true;
  const { model: encoder, device, output } = run;
  const config = await configOf(options, command, encoder);
  const { tasks } = tasksOf(run);
  const planned = { encoder, tasks, config, imagePixels: options.imageSize };
  const plan = planVtab(planned);
  const time = await timeVtab(planned, tuningOf(device, options, output));
  const lines = [
    `${plan.runs} runs on ${plan.tasks} tasks: ${plan.updates} updates of ${config.batch} images, ${plan.testedImages} tested images`,
    `memory on the device: ${formatBytes(plan.memory.total)}`,
    `time on ${device.info.name}: about ${formatSeconds(time.seconds)} without reading images (${time.updateSeconds.toPrecision(3)} s an update, ${time.imageSeconds.toPrecision(3)} s a tested image)`,
  ];
  for (const line of lines) options.dryRun ? output.line(line) : output.notice(line);
  if (!options.dryRun) return true;
  output.result({ plan, time });
  return false;
}

async function evaluateVtab(
  run: ProtocolRun,
  options: VtabProtocolOptions,
  command: Command,
): Promise<ProtocolResult | undefined> {
  const config = await configOf(options, command, run.model);
  const name = presetOf(options);
  const preset = { name, sets: { ...vtabPreset(name, run.model.config) } };
  run.output.notice(usedPresetText(preset, config));
  const { tasks, lists } = tasksOf(run);
  const found = await followVtab(run, { config, tasks, imagePixels: options.imageSize });
  if (!found.finished) return undefined;
  await run.store.writeText("table.csv", vtabCsv(found.tasks, found.groups));
  const { learningRates, seeds, epochs, batch, layerDecay, weightDecay, frozenShare, precision } = config;
  return {
    settings: {
      ...{ tasks: tasks.map(({ name }) => name), lists },
      ...{ learningRates, seeds, epochs, batch, layerDecay, weightDecay, frozenShare, precision },
      fit: "squash",
      imageSize: options.imageSize ?? "its own",
    },
    selection: selectionOf(config),
    preset,
    published: { traits: { kind: "tasks", tasks: tasks.map(({ name }) => name) } },
    scores: scoresOf(found),
    details: {
      tasks: found.tasks.map(({ predicted: _, labels: __, ...task }) => task),
      groups: found.groups,
    },
    remarks: remarksOf(found),
    parts: { kind: "tasks", tasks: found.tasks },
    table: vtabTable(found.tasks, found.groups),
    writePredictions: (path) => writeVtabPredictions(path, found.tasks, tasks, config.seed),
  };
}

function selectionOf({ learningRates: rates }: VtabConfig): Selection {
  if (rates.length === 1)
    return { on: "nothing", text: `nothing was chosen: the learning rate is ${rates[0]} on every task` };
  return {
    on: "held-out training images",
    text: "the learning rate of each task was chosen on its validation images (val200), which were not trained on for that; the test images had no part in it, and were tested after the last epoch",
  };
}

function scoresOf({ tasks, groups }: VtabResult): ProtocolResult["scores"] {
  const means = groups.map(
    ({ name, tasks: count, mean: value, standardError }): Score => ({
      name: groupScoreName(name, count),
      ...{ value, standardError, images: null },
    }),
  );
  const [main, ...others] = means.reverse();
  if (!main) throw new RangeError("evaluate vtab: no task was measured");
  const single = tasks.map(
    ({ task, mean: value, standardError, testImages: images }): Score => ({
      name: taskScoreName(task),
      ...{ value, standardError, images },
    }),
  );
  return [main, ...others.reverse(), ...single];
}

function remarksOf({ tasks }: VtabResult): string[] {
  const shorter = tasks.filter(
    ({ task, testImages }) => vtabTasks.find(({ name }) => name === task)?.testImages !== testImages,
  );
  return [
    `standard errors are those of the test images; the last column is that of the ${tasks[0]?.accuracies.length} seeds`,
    ...(tasks.length < vtabTasks.length
      ? [`${tasks.length} of ${vtabTasks.length} tasks: their mean is not comparable with published ones of all`]
      : ["the mean is over all 19 tasks; the published summary script leaves oxford_flowers102 out since 2025"]),
    ...(shorter.length > 0
      ? [`test lists of other lengths than the published ones: ${shorter.map(({ task }) => task).join(", ")}`]
      : []),
  ];
}

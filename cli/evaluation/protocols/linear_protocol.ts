import { totalmem } from "node:os";
import type { Command } from "commander";
import type { Pooling } from "../../../models/index.ts";
import {
  accuracyOf,
  defaultPooling,
  defaultProbePreset,
  frequencyGroups,
  type LinearProbeConfig,
  type LinearProbeResult,
  linearProbe,
  linearProbeSchema,
  type ProbePreset,
  type ProbeResult,
  probePreset,
  probePresets,
  probeSensitivity,
} from "../../../refiner/evaluation/index.ts";
import { parseConfig } from "../../../refiner/methods/setting_errors.ts";
import { RunFolder } from "../../../refiner/training/run_folder_node.ts";
import { Progress } from "../../output/progress.ts";
import type { Output } from "../../output/streams.ts";
import { addSettings, checkedSettings, givenSettings } from "../../program/settings.ts";
import { sharedOption } from "../../program/shared_options.ts";
import { UsageError } from "../../program/usage_error.ts";
import type { Selection, UsedPreset } from "../evaluation_line.ts";
import type { Protocol, ProtocolOptions, ProtocolResult, ProtocolRun } from "../protocol.ts";
import { usedPresetText } from "../protocol_presets.ts";

interface LinearProtocolOptions extends ProtocolOptions {
  readonly preset?: string;
  readonly pool?: Pooling;
  readonly config?: string;
}

/** Settings with an option of their own; the others are options of every protocol. */
const ownSettings = linearProbeSchema.omit({ pooling: true, maxBad: true });
/** Of the host's memory, for features; what is beyond goes to files of the run folder. */
const memoryShare = 0.25;
const presetNames = probePresets.join(", ");

/** What tells one linear probe from another. */
interface ProbeKind {
  readonly name: "linear" | "transfer";
  /** Where no preset is given. */
  readonly preset: (trainImages: number) => ProbePreset;
  /** Settings before those of the user. */
  readonly base: Partial<LinearProbeConfig>;
  /** Whether accuracies by the number of training images are told. */
  readonly hasGroups: boolean;
}

const linearKind: ProbeKind = { name: "linear", preset: defaultProbePreset, base: {}, hasGroups: false };
const transferKind: ProbeKind = {
  name: "transfer",
  preset: (images) => (images >= 10 * 256 ? "vtab6" : "small"),
  base: { fit: "squash" },
  hasGroups: true,
};

/** `mimrefine evaluate linear` */
export const linearProtocol: Protocol<LinearProtocolOptions> = {
  name: "linear",
  summary: "linear probe: a grid of linear classifiers on the frozen encoder",
  description:
    "Trains 13 learning rates × two poolings × {final output, last four blocks} = 52 linear classifiers in one pass, tests all after every epoch, and reports the one that does best on held-out training images. The published way chooses on the test images instead (--select test), which makes the number too good for new images. Each epoch sees fresh random crops, so the encoder runs every epoch; --cache encodes every image once, without crops: much faster, and another protocol.",
  example:
    "mimrefine evaluate linear --weights encoder.safetensors --images train/ --test val/ --out runs/probe\nmimrefine evaluate linear --resume runs/probe\nmimrefine evaluate linear --weights encoder.safetensors --images train/ --test val/ --cache --preset small",
  ...probeOf(linearKind, "paper from 10,240 training images on, else small"),
};

/** `mimrefine evaluate transfer` */
export const transferProtocol: Protocol<LinearProtocolOptions> = {
  name: "transfer",
  summary: "linear probe on another data set, with accuracies by class frequency",
  description:
    "The linear probe as the paper has it for six smaller sets (CIFAR-100, Caltech-101, DTD, Flowers, Pets, SUN397): batch 256, test images squashed to the model's size instead of cropped. Beside the accuracy over all test images it tells those of classes with many (more than 100), medium (20 to 100) and few (fewer than 20) training images, which is our addition: the published tables have none.",
  example:
    "mimrefine evaluate transfer --weights encoder.safetensors --images flowers/train --test flowers/test\nmimrefine evaluate transfer --weights encoder.safetensors --images inat.csv --test val.csv --preset inat --fit crop",
  ...probeOf(transferKind, "vtab6 from 2,560 training images on, else small"),
};

function probeOf(
  kind: ProbeKind,
  defaultPreset: string,
): Pick<Protocol<LinearProtocolOptions>, "isResumable" | "addOptions" | "check" | "evaluate"> {
  return {
    isResumable: true,
    addOptions(command) {
      const more = "what stands beside the two joined; default: cls where there is one";
      command
        .addOption(sharedOption("preset", { more: `${presetNames} (default: ${defaultPreset})` }))
        .addOption(sharedOption("pool", { more }))
        .addOption(
          sharedOption("sensitivity", {
            more: "heads of the grid tell it, and some that are trained beside them",
            default: false,
          }),
        );
      addSettings(command, ownSettings);
    },
    async check(options, command) {
      await configOf(kind, options, command, 1024); // names wrong keys and values before anything is opened
    },
    evaluate: (run, options, command) => evaluateProbe(kind, run, options, command),
  };
}

/** Settings of the preset, those of the file, and the options, in that order. */
async function configOf(
  kind: ProbeKind,
  options: LinearProtocolOptions,
  command: Command,
  trainImages: number,
): Promise<{ readonly preset: UsedPreset; readonly config: LinearProbeConfig }> {
  const given = await givenSettings(command, ownSettings, options.config);
  const preset = probePresets.find((name) => name === options.preset);
  if (options.preset !== undefined && preset === undefined)
    throw new UsageError(`evaluate ${kind.name}: there is no preset ${options.preset}; choose from ${presetNames}`);
  const used = preset ?? kind.preset(trainImages);
  const sets = { ...kind.base, ...probePreset(used, trainImages) };
  const settings = {
    ...sets,
    ...given.values,
    ...(options.pool === undefined ? {} : { pooling: options.pool }),
    seed: options.seed,
    maxBad: options.maxBad,
  };
  return {
    preset: { name: used, sets },
    config: checkedSettings(() => parseConfig(linearProbeSchema, settings, `evaluate ${kind.name}`), given),
  };
}

async function evaluateProbe(
  kind: ProbeKind,
  run: ProtocolRun,
  options: LinearProtocolOptions,
  command: Command,
): Promise<ProtocolResult | undefined> {
  const { preset, config } = await configOf(kind, options, command, run.train.length);
  run.output.notice(usedPresetText(preset, config));
  const found = await followed(run, options, config);
  const { chosen, lastEpoch, testMaximum, predictions } = found;
  if (!found.finished || !chosen || !lastEpoch || !testMaximum || !predictions) return undefined;
  const { value, standardError, images } = accuracyOf(predictions);
  const { batch, epochs, rates, sources, fit, cache, select, holdOut } = config;
  const groups = kind.hasGroups ? frequencyGroups(predictions, found.classImages) : [];
  return {
    settings: {
      ...{ batch, epochs, rates, sources, fit, cache, select },
      holdOut: select === "test" ? 0 : holdOut,
      pooling: config.pooling ?? defaultPooling(run.model.config),
      imageSize: options.imageSize ?? "its own",
    },
    selection: selectionOf(config, found),
    scores: [
      { name: "accuracy", value, standardError, images },
      { name: "accuracy, last epoch", value: lastEpoch.test, standardError: binomial(lastEpoch.test, images), images },
      ...groups.map(({ name, value, standardError, images }) => ({
        name: `accuracy, ${name}`,
        ...{ value, standardError, images },
      })),
    ],
    details: {
      chosen: shownResult(chosen),
      lastEpoch: shownResult(lastEpoch),
      testMaximum: shownResult(testMaximum),
      heads: found.heads.length,
      images: found.images,
    },
    remarks: remarksOf(config, found),
    table: [
      ["", "head", "epoch", "held-out", "test"],
      tableRow(`chosen on ${config.select === "test" ? "test" : "held-out"} images`, chosen),
      tableRow("last epoch", lastEpoch),
      tableRow("largest on test images", testMaximum),
      ...groups.map(({ name, text, classes, images, value }) => [
        `chosen, ${name}: ${classes} classes of ${text}, ${images} test images`,
        ...["", "", "", value.toFixed(4)],
      ]),
    ],
    predictions,
    preset,
    sensitivity: options.sensitivity ? probeSensitivity(found, select) : undefined,
  };
}

/** Runs the probe with progress on stderr. */
async function followed(
  run: ProtocolRun,
  options: LinearProtocolOptions,
  config: LinearProbeConfig,
): Promise<LinearProbeResult> {
  const { device, model, train, test, store, resume, signal, output } = run;
  const bars = new Bars(output);
  const events = linearProbe({
    device,
    model,
    train,
    test,
    config,
    store,
    resume,
    signal,
    imagePixels: options.imageSize,
    sensitivity: options.sensitivity === true,
    ...(store instanceof RunFolder ? { featureMemoryBytes: memoryShare * totalmem() } : {}),
    onNotice: (text) => bars.notice(text),
    onEncoded: (done, total) => bars.update("images", done, total),
  });
  for (;;) {
    const next = await events.next();
    if (next.done) {
      bars.end();
      return next.value;
    }
    const event = next.value;
    if (event.kind === "update") bars.update("updates", event.update, event.of);
    if (event.kind === "broken") output.warning(`left out: ${event.text}`);
    if (event.kind === "notice") bars.notice(event.text);
  }
}

/** One bar at a time. */
class Bars {
  #unit = "";
  #progress: Progress | undefined;

  constructor(readonly output: Output) {}

  update(unit: string, done: number, total: number): void {
    if (unit !== this.#unit) {
      this.end();
      this.#unit = unit;
      this.#progress = new Progress(this.output, total, unit, done - 1);
    }
    this.#progress?.update(done);
  }

  notice(text: string): void {
    this.output.notice(text);
  }

  end(): void {
    this.#progress?.end();
  }
}

function selectionOf(config: LinearProbeConfig, { heads, images }: LinearProbeResult): Selection {
  if (config.select === "test")
    return {
      on: "test images",
      text: `head and epoch were chosen on the test images themselves, as published: the number is the largest of ${heads.length} heads × ${config.epochs} epochs, and too good for new images`,
    };
  return {
    on: "held-out training images",
    text: `head and epoch were chosen on ${images.heldOut} held-out training images (${100 * config.holdOut} % of each class, seed ${config.seed}), which were not trained on; the test images had no part in it`,
  };
}

function remarksOf(config: LinearProbeConfig, { images }: LinearProbeResult): string[] {
  const trained = `trained on ${images.train} images, tested on ${images.test}`;
  if (!config.cache) return [`${trained}; the encoder saw a fresh random crop of each image in every epoch`];
  return [
    `${trained}; features were cached: one plain view of each image, no random crops, unlike the published probe`,
  ];
}

function binomial(share: number, images: number): number {
  return Math.sqrt((share * (1 - share)) / images);
}

function shownResult({ head, rate, feature, epoch, heldOut, test }: ProbeResult) {
  return { head: head.name, rate, feature, epoch, heldOut: heldOut ?? null, test };
}

function tableRow(what: string, { head, epoch, heldOut, test }: ProbeResult): string[] {
  return [what, head.name, String(epoch), heldOut?.toFixed(4) ?? "-", test.toFixed(4)];
}

import type { Command } from "commander";
import type { ImageSource } from "../../../refiner/data/index.ts";
import { type PairedMasks, pairMasks } from "../../../refiner/data/index_node.ts";
import {
  type SegmentationConfig,
  type SegmentationHeadResult,
  type SegmentationResult,
  segmentationBlocks,
  segmentationProbe,
} from "../../../refiner/evaluation/index.ts";
import { openCropper } from "../../../refiner/evaluation/segmentation/crop_pool_node.ts";
import { Progress } from "../../output/progress.ts";
import type { Output } from "../../output/streams.ts";
import type { JobImages } from "../evaluation_job.ts";
import type { Selection } from "../evaluation_line.ts";
import type { Protocol, ProtocolResult, ProtocolRun } from "../protocol.ts";
import { usedPresetText } from "../protocol_presets.ts";
import { writePerClass, writeSegmented } from "../segmentation_files.ts";
import { maskDigest } from "./mask_digest.ts";
import {
  addSegmentOptions,
  checkSegmentOptions,
  isReplacing,
  type SegmentOptions,
  segmentConfig,
  segmentTouches,
} from "./segment_options.ts";
import { classRows, OverlayPictures } from "./segment_pictures.ts";

/** `mimrefine evaluate segment` */
export const segmentProtocol: Protocol<SegmentOptions> = {
  name: "segment",
  summary: "segmentation: linear heads on patches, mean intersection over union",
  description:
    "Trains 9 learning rates × {patch token, class token ‖ patch token} = 18 linear heads on every fourth block of the frozen encoder, from random crops of images and masks, and tests all of them by sliding windows at the images' own resolution. Masks are PNG files of the same names, whose palette indices or grey values are the labels. Reports the head that does best on held-out training images; the published way chooses on the test images instead (--select test). The paper's ADE20K masks need --label-offset -1 --ignore-index 0 --classes 150.",
  example:
    "mimrefine evaluate segment --weights encoder.safetensors --images train/ --masks train-masks/ --test val/ --test-masks val-masks/ --out runs/segment\nmimrefine evaluate segment --resume runs/segment\nmimrefine evaluate segment --weights encoder.safetensors --images photos/ --masks masks/ --preset small --overlays looked/",
  isResumable: true,
  addOptions: addSegmentOptions,
  touched: segmentTouches,
  check: checkSegmentOptions,
  async digests(job, options) {
    const { trainMasks, testMasks } = await paired(job, options);
    return { "the masks (--masks)": trainMasks, "the test masks": testMasks };
  },
  evaluate: evaluateSegment,
};

/** Both sides with their masks. */
interface Paired {
  readonly train: PairedMasks;
  readonly test: PairedMasks;
  readonly testFolder: string;
  /** Digests of the masks. */
  readonly trainMasks: string;
  readonly testMasks: string;
}

/** By the training images that were opened, which outlive a lost device. */
const pairs = new WeakMap<ImageSource, Promise<Paired>>();

/** Paired and digested once: a run is begun with what it is then scored on. */
function paired(images: JobImages, options: SegmentOptions): Promise<Paired> {
  const known = pairs.get(images.train) ?? pairedSides(images, options);
  pairs.set(images.train, known);
  return known;
}

async function pairedSides(run: JobImages, options: SegmentOptions): Promise<Paired> {
  const { images, masks = "", test: testImages = images, testMasks = masks } = options;
  const isOne = options.test === undefined;
  const train = await pairMasks(run.train, images, masks, isOne ? run.test : undefined);
  const test = await pairMasks(run.test, testImages, testMasks, isOne ? run.train : undefined);
  const digests = { trainMasks: await maskDigest(train.masks), testMasks: await maskDigest(test.masks) };
  return { train, test, testFolder: testMasks, ...digests };
}

async function evaluateSegment(
  run: ProtocolRun,
  options: SegmentOptions,
  command: Command,
): Promise<ProtocolResult | undefined> {
  const sides = await paired(run, options);
  for (const text of new Set([...sides.train.notices, ...sides.test.notices])) run.output.notice(text);
  const { preset, config } = await segmentConfig(options, command, sides.train.images.length);
  run.output.notice(usedPresetText(preset, config));
  const pictures = run.hasPage ? new OverlayPictures(sides.test.images.length, sides.test.masks) : undefined;
  const found = await followed(run, options, config, sides, pictures);
  const { chosen, lastEpoch, testMaximum, test } = found;
  if (!found.finished || !chosen || !lastEpoch || !testMaximum || !test) return undefined;
  const { labelOffset, ignoreIndex, perClass, imageSize } = options;
  if (perClass !== undefined && !run.isSecond)
    await writePerClass(perClass, test.scores, test.table, labelOffset, isReplacing(options) || run.resume);
  const { batch, epochs, rates, select, holdOut, testEvery, stride } = config;
  const score = (name: string, value: number) => ({ name, value, standardError: null, images: null });
  return {
    settings: {
      ...{ batch, epochs, rates, testEvery, select, labelOffset, ignoreIndex },
      classes: found.classes,
      blocks: segmentationBlocks(run.model.config).length,
      holdOut: select === "test" ? 0 : holdOut,
      stride: stride ?? "170/224 of a window",
      imageSize: imageSize ?? "its own",
      trainMasks: sides.trainMasks,
      testMasks: sides.testMasks,
    },
    selection: selectionOf(config, found),
    scores: [
      score("mean IoU", test.scores.mean),
      score("mean IoU, last epoch", lastEpoch.test),
      score("IoU over all pixels", test.scores.micro),
      score("pixel accuracy", test.scores.pixelAccuracy),
    ],
    details: {
      chosen: shownResult(chosen),
      lastEpoch: shownResult(lastEpoch),
      testMaximum: shownResult(testMaximum),
      perClass: test.scores.perClass,
      classes: found.classes,
      heads: found.heads.length,
      blocks: segmentationBlocks(run.model.config),
      images: found.images,
    },
    preset,
    published: { traits: { kind: "masks", classes: found.classes, labelOffset, ignoreIndex } },
    remarks: [
      `trained on ${found.images.train} images, tested on ${found.images.test}; mean over the classes that occur in labels or predictions of the test images`,
    ],
    table: [
      ["", "head", "epoch", "held-out", "test"],
      tableRow(`chosen on ${select === "test" ? "test" : "held-out"} images`, chosen),
      tableRow("last epoch", lastEpoch),
      tableRow("largest on test images", testMaximum),
    ],
    ...(pictures ? { shown: { overlays: pictures.overlays, classes: classRows(test, labelOffset) } } : {}),
  };
}

/** Runs the probe with progress on stderr. */
async function followed(
  run: ProtocolRun,
  options: SegmentOptions,
  config: SegmentationConfig,
  { train, test, testFolder }: Paired,
  pictures: OverlayPictures | undefined,
): Promise<SegmentationResult> {
  const { device, model, store, resume, signal, output } = run;
  const { predictedMasks, overlays, labelOffset: offset, ignoreIndex: ignore, classes } = options;
  const folders = {
    ...(predictedMasks === undefined ? {} : { predictedMasks }),
    ...(overlays === undefined ? {} : { overlays }),
    masksFolder: testFolder,
    offset,
    overwrite: isReplacing(options) || resume, // after a lost device some are there
  };
  const testing = { progress: new Progress(output, test.images.length, "images tested") };
  const cropper = openCropper({ workers: options.workers });
  const events = segmentationProbe({
    device,
    model,
    train,
    test,
    rules: { offset, ignore, ...(classes === undefined ? {} : { classes }) },
    config,
    store,
    resume,
    signal,
    imagePixels: options.imageSize,
    cropper,
    onNotice: (text) => output.notice(text),
    onTested: (done, total) => {
      if (done === 1) testing.progress = new Progress(output, total, "images tested");
      testing.progress.update(done);
      if (done === total) testing.progress.end();
    },
    ...(run.isSecond && !pictures
      ? {}
      : {
          onImage: async (segmented) => {
            if (!run.isSecond) await writeSegmented(segmented, test.masks, folders);
            await pictures?.add(segmented);
          },
        }),
  });
  try {
    return await shownEvents(events, output);
  } finally {
    await cropper.close();
  }
}

/** Shows what happens while the probe is trained. */
async function shownEvents(events: ReturnType<typeof segmentationProbe>, output: Output): Promise<SegmentationResult> {
  let progress: Progress | undefined;
  for (;;) {
    const next = await events.next();
    if (next.done) {
      progress?.end();
      return next.value;
    }
    const event = next.value;
    if (event.kind === "update") {
      progress ??= new Progress(output, event.of, "updates", event.update - 1);
      progress.update(event.update);
    }
    if (event.kind === "broken") output.warning(`left out: ${event.text}`);
    if (event.kind === "notice") output.notice(event.text);
  }
}

function selectionOf(config: SegmentationConfig, { heads, images, scores }: SegmentationResult): Selection {
  if (config.select === "test")
    return {
      on: "test images",
      text: `head and epoch were chosen on the test images themselves, as published: the number is the largest of ${heads.length} heads × ${scores.length} tested epochs, and too good for new images`,
    };
  return {
    on: "held-out training images",
    text: `head and epoch were chosen on ${images.heldOut} held-out training images (seed ${config.seed}), which were not trained on; the test images had no part in it`,
  };
}

function shownResult({ head, rate, feature, epoch, heldOut, test }: SegmentationHeadResult) {
  return { head: head.name, rate, feature, epoch, heldOut: heldOut ?? null, test };
}

function tableRow(what: string, { head, epoch, heldOut, test }: SegmentationHeadResult): string[] {
  return [what, head.name, String(epoch), heldOut?.toFixed(4) ?? "-", test.toFixed(4)];
}

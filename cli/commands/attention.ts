import { join } from "node:path";
import { Command, Option } from "commander";
import { writeBytesAtomic } from "../../engine/platform/files_node.ts";
import { makeFolders } from "../../engine/platform/folders_node.ts";
import { formatReport, loadEncoder, openEncoder } from "../../models/checkpoints/index.ts";
import type { VisionTransformer, VitConfig } from "../../models/index.ts";
import type { ImageSource, RgbImage } from "../../refiner/data/index.ts";
import { type AttentionMap, attentionMaps, type FeatureBlock, principalMaps } from "../../refiner/evaluation/index.ts";
import { attentionPage } from "../../refiner/report/index.ts";
import { imageChannels } from "../checkpoints/image_channels.ts";
import { withCheckpoint } from "../checkpoints/with_checkpoint.ts";
import {
  checkNewFiles,
  folderNames,
  type MapFiles,
  mapFiles,
  pathsOf,
  writeAttention,
  writePrincipal,
} from "../evaluation/maps/map_files.ts";
import { type MapPageImage, mostShown, pageImage, sharesOnPatches } from "../evaluation/maps/map_page.ts";
import { openAllImages } from "../evaluation/open_all_images.ts";
import { Progress } from "../output/progress.ts";
import type { Output } from "../output/streams.ts";
import { type CommandContext, finishCommand, outputOf } from "../program/context.ts";
import {
  addEncoderOptions,
  type CommonOptions,
  type EncoderCommandOptions,
  encoderOptions,
  openCommandDevice,
} from "../program/options.ts";
import { wholeNumber } from "../program/parsers.ts";
import { sharedOption } from "../program/shared_options.ts";
import { checkTouchedPaths } from "../program/touched_paths.ts";
import { UsageError } from "../program/usage_error.ts";
import { onDevices } from "../runs/recovery.ts";

interface AttentionOptions extends CommonOptions, EncoderCommandOptions {
  readonly weights: string;
  readonly out: string;
  readonly block?: FeatureBlock;
  readonly maps: "both" | "attention" | "pca";
  readonly imageKey?: string;
  readonly imageSize?: number;
  readonly size?: number;
  readonly values: boolean;
  readonly workers: number | "auto";
  readonly force: boolean;
}

/** The page in the folder. */
const pageFile = "attention.html";

/** `mimrefine attention IMAGE...` */
export function attentionCommand(context: CommandContext): Command {
  const command = new Command("attention")
    .summary("draw where an encoder looks, and its patch features as colours")
    .description(
      "For every image a folder of pictures: mean.png and head-N.png, the soft-max weights of the class token on the patches (not renormalised; white is a map's largest weight; 16-bit grey), and pca.png, the three leading principal components of the patch features of all given images together as red, green and blue (no patch is taken for background; the largest coordinate of a component is positive). attention.html shows them. Images are squashed whole to what the encoder sees; a larger --image-size gives finer maps. Every patch keeps its one value: nothing is smoothed.",
    )
    .argument("<images...>", "image files, or whatever else holds images")
    .addOption(sharedOption("weights", { isRequired: true }))
    .addOption(sharedOption("runFolder", { more: "takes a folder per image, and the page" }).makeOptionMandatory())
    .addOption(sharedOption("block", { more: "default: last; attention is that of the last block then" }))
    .addOption(
      new Option("--maps <which>", "what is drawn; models without class token have pca only")
        .choices(["both", "attention", "pca"])
        .default("both"),
    )
    .addOption(sharedOption("imageKey"))
    .addOption(sharedOption("imageSize", { more: "default: its own" }))
    .option("--size <pixels>", "longer side of the PNGs (default: that of the image)", wholeNumber(1, 16_384))
    .option("--values", "write the weights of attention, too: weights.npy, [heads, rows, columns]", false)
    .addOption(sharedOption("workers", { default: "auto" }))
    .addOption(sharedOption("force", { default: false }));
  addEncoderOptions(command).action((images: string[], options: AttentionOptions) =>
    drawMaps(images, options, outputOf(context, options)),
  );
  return finishCommand(
    command,
    "mimrefine attention photo.jpg --weights encoder.safetensors --out maps\nmimrefine attention a.jpg b.jpg --weights encoder.safetensors --out maps --block 8 --image-size 448",
  );
}

async function drawMaps(paths: readonly string[], options: AttentionOptions, output: Output): Promise<void> {
  const { weights, out, force } = options;
  const reads = { "--weights": weights, ...Object.fromEntries(paths.map((path, i) => [`image ${i + 1}`, path])) };
  await checkTouchedPaths("attention", { reads, folder: { path: out, files: [pageFile] }, overwrite: force });
  const { config } = await withCheckpoint(weights, (file) => openEncoder(file, encoderOptions(options), weights));
  checkClassToken(config, options);
  const channels = imageChannels(config, weights);
  const source = await openAllImages(paths, { channels, workers: options.workers, imageKey: options.imageKey }, output);
  try {
    let isAgain = false; // after a lost device: what was written is replaced
    await onDevices({ output, open: () => openCommandDevice(options, output) }, async (device) => {
      const { model, report } = await withCheckpoint(weights, (file) =>
        loadEncoder(device, file, encoderOptions(options), weights),
      );
      for (const line of formatReport({ ...report, warnings: [] })) output.notice(line);
      for (const warning of report.warnings) output.warning(warning);
      const plan = planOf(source, model.config, options);
      const files = plan.flatMap(({ files }) => pathsOf(files));
      await checkTouchedPaths("attention", { reads, folder: { path: out, files: plan.flatMap(namesIn(out)) } });
      if (!isAgain) await checkNewFiles([...files, join(out, pageFile)], force);
      const job = { model, source, plan, options: { ...options, force: force || isAgain }, output };
      isAgain = true;
      await drawn(job);
    });
  } finally {
    await source.close?.();
  }
}

/** @throws UsageError before anything is read where the maps need a token that the model does not have */
function checkClassToken({ classTokens }: Pick<VitConfig, "classTokens">, { weights, maps }: AttentionOptions): void {
  if (classTokens > 0 || maps === "pca") return;
  throw new UsageError(
    `attention: ${weights} has no class token, whose attention the maps show; give --maps pca for its patch features`,
  );
}

/** One image's folder and files. */
interface PlannedImage {
  readonly name: string;
  readonly folder: string;
  readonly files: MapFiles;
}

function planOf(source: ImageSource, { heads }: VitConfig, { out, maps, values }: AttentionOptions): PlannedImage[] {
  const names = Array.from({ length: source.length }, (_, index) => source.name(index));
  return folderNames(names).map((folder, i) => ({
    name: names[i] ?? "",
    folder,
    files: mapFiles(join(out, folder), maps === "pca" ? 0 : heads, values, maps !== "attention"),
  }));
}

const namesIn =
  (out: string) =>
  ({ files }: PlannedImage): string[] =>
    pathsOf(files).map((path) => path.slice(join(out, "/").length));

interface MapJob {
  readonly model: VisionTransformer;
  readonly source: ImageSource;
  readonly plan: readonly PlannedImage[];
  readonly options: AttentionOptions;
  readonly output: Output;
}

async function drawn({ model, source, plan, options, output }: MapJob): Promise<void> {
  const { block, imageSize, maps, out, force, weights } = options;
  const view = {
    fit: "squash" as const,
    ...(block === undefined ? {} : { block }),
    ...(imageSize === undefined ? {} : { imagePixels: imageSize }),
  };
  const onNotice = (text: string): void => output.warning(text);
  const principal = maps === "attention" ? [] : await principalMaps(model, source, { ...view, onNotice });
  const attention = maps === "pca" ? undefined : attentionMaps(model, source, view);
  const progress = new Progress(output, plan.length, "images");
  const shown: MapPageImage[] = [];
  const written: Record<string, unknown>[] = [];
  try {
    for (const [index, planned] of plan.entries()) {
      const map = (await attention?.next())?.value ?? undefined;
      const image = await source.load(index);
      const size = sizeOf(image, options.size);
      const found = { image, map, principal: principal[index] };
      await writeMaps(found, planned, size, force);
      if (index < mostShown) shown.push(await pageImage(planned.name, found));
      written.push({ image: planned.name, folder: planned.folder, ...size, ...onPatches(map) });
      output.line(join(out, planned.folder));
      progress.update(index + 1);
    }
  } finally {
    progress.end();
    await attention?.return();
  }
  const { heads } = model.config;
  const settings = { weights, block: block ?? "last", maps, imageSize: imageSize ?? "its own", heads };
  const leftOut = plan.length - shown.length;
  const facts = { ...textOf(settings), adapter: model.device.info.name };
  const html = attentionPage({ facts, images: shown, leftOut });
  await makeFolders(out);
  await writeBytesAtomic(join(out, pageFile), new TextEncoder().encode(html), { overwrite: force });
  output.line(join(out, pageFile));
  output.result({ adapter: model.device.info.name, ...settings, out, page: pageFile, images: written });
}

async function writeMaps(
  { map, principal }: { readonly map: AttentionMap | undefined; readonly principal: RgbImage | undefined },
  { files }: PlannedImage,
  size: { readonly width: number; readonly height: number },
  overwrite: boolean,
): Promise<void> {
  if (map) await writeAttention(map, files, size, overwrite);
  if (principal && files.principal !== undefined) await writePrincipal(principal, files.principal, size, overwrite);
}

/** The image's own size, or that of which the longer side is given. */
function sizeOf({ width, height }: RgbImage, longer: number | undefined): { width: number; height: number } {
  const factor = longer === undefined ? 1 : longer / Math.max(width, height);
  return { width: Math.max(1, Math.round(factor * width)), height: Math.max(1, Math.round(factor * height)) };
}

function onPatches(map: AttentionMap | undefined) {
  return map ? { grid: [map.rows, map.columns], onPatches: sharesOnPatches(map) } : {};
}

function textOf(settings: Readonly<Record<string, unknown>>): Record<string, string> {
  return Object.fromEntries(Object.entries(settings).map(([key, value]) => [key, String(value)]));
}

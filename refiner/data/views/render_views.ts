import {
  checkDType,
  checkSameShape,
  OptionError,
  type Program,
  ShapeError,
  showShape,
  type Tensor,
} from "../../../engine/index.ts";
import { augmentWords } from "./augment_steps.ts";
import { augmentViews } from "./augment_views.ts";
import { boxBlurFor } from "./box_blur.ts";
import { augmentSteps, erasesImages } from "./draw_augmentations.ts";
import { eraseImages, erasingNoise, erasureWords } from "./erase_images.ts";
import { viewWords } from "./parameter_table.ts";
import { checkViewConfig, type ViewConfig, type ViewGroup } from "./view_config.ts";
import { viewsFinishKernel, viewsJitterKernel, viewsResizeKernel } from "./view_kernels.ts";

/** What {@link views} reads, usually inputs of the program. */
export interface ViewOperands {
  /** Samples of all images, four to a word: `[capacityBytes / 4]` u32; see `packImages`. */
  readonly images: Tensor;
  /** Byte offset, width, height and 0 per image: `[batch, 4]` u32. */
  readonly table: Tensor;
  /** `[views · batch, 20]` u32; see `drawViewParameters`. */
  readonly parameters: Tensor;
  /** `[views · batch, steps, 16]` u32 where a view has `randAugment`; see `drawAugmentSteps`. */
  readonly augmentations?: Tensor;
  /** `[views · batch, 12]` u32 where a view has `erase`; see `drawErasures`. */
  readonly erasures?: Tensor;
}

/** Normalised views, view-major: row v · batch + b. */
export interface Views {
  /** `[globalViews · batch, channels, height, width]` */
  readonly global: Tensor;
  /** `[localViews · batch, channels, height, width]` */
  readonly local?: Tensor;
}

/**
 * Records the augmentation of a batch: crop, resize, mirror, colour jitter, RandAugment, blur, greyscale, solarisation, normalisation,
 * random erasing, with the roundings of Pillow 9.4 after every step. Two or three dispatches per size of view, two more for every
 * operation of RandAugment and for erasing.
 *
 * @throws OptionError, ShapeError, DTypeError
 */
export function views(program: Program, operands: ViewOperands, config: ViewConfig): Views {
  checkViewConfig(config);
  const { table, parameters } = operands;
  for (const [name, operand] of Object.entries(operands)) checkDType("views", name, operand, ["u32"]);
  const batch = table.shape[0] ?? 1;
  if (table.shape.length !== 2 || table.shape[1] !== 4)
    throw new ShapeError(`views: table has shape ${showShape(table.shape)}, expected [batch, 4]`);
  const globalRows = config.global.views.length * batch;
  const rows = globalRows + (config.local?.views.length ?? 0) * batch;
  checkSameShape("views", "parameters", parameters.shape, [rows, viewWords]);
  const steps = augmentSteps(config);
  if (steps > 0) checkTable("augmentations", "drawAugmentSteps", operands.augmentations, [rows, steps, augmentWords]);
  if (erasesImages(config)) checkTable("erasures", "drawErasures", operands.erasures, [rows, erasureWords]);
  const global = viewsOfGroup(program, operands, config, config.global, 0);
  if (!config.local) return { global };
  return { global, local: viewsOfGroup(program, operands, config, config.local, globalRows) };
}

function checkTable(name: string, drawnBy: string, table: Tensor | undefined, shape: readonly number[]): void {
  if (!table) throw new OptionError(`views: the configuration needs ${name}; draw them with ${drawnBy}`);
  checkSameShape("views", name, table.shape, shape);
}

function viewsOfGroup(
  program: Program,
  { images, table, parameters, augmentations, erasures }: ViewOperands,
  config: ViewConfig,
  group: ViewGroup,
  firstRow: number,
): Tensor {
  const { heightPixels: height, widthPixels: width } = group;
  const [batch = 1] = table.shape;
  const views = group.views.length;
  const tiles = (side: number): number => Math.ceil(height / side) * Math.ceil(width / side);
  const place = { firstRow, batch };

  const pixels = program.empty([views * batch, height, width], "u32");
  program.dispatch(
    viewsResizeKernel,
    { ...place, width, height, support: config.interpolation === "bicubic" ? 2 : 1 },
    { images, placement: table, parameters, pixels },
    [tiles(resizeSide), batch, views],
    { declarations: { channels: `${config.channels}u` } },
  );
  let coloured = pixels;
  if (group.views.some(({ jitter }) => jitter.probability > 0)) {
    coloured = program.empty(pixels.shape, "u32");
    const jitterParams = { ...place, count: height * width };
    program.dispatch(viewsJitterKernel, jitterParams, { parameters, pixels, jittered: coloured }, [batch, views]);
  }
  if (augmentations && group.views.some(({ randAugment }) => randAugment))
    coloured = augmentViews(program, coloured, augmentations, { ...group, ...place, views });
  const y = program.empty([views * batch, config.channels, height, width]);
  const halo = blurHalo(group);
  program.dispatch(
    viewsFinishKernel,
    { ...place, width, height, channels: config.channels, halo, ...normalisation(config) },
    { parameters, pixels: coloured, y },
    [tiles(finishSide - 2 * halo), batch, views],
  );
  if (!erasures || !group.views.some(({ erase }) => erase)) return y;
  return eraseImages(program, y, erasures, erasingNoise(program, y.shape, erasures, firstRow), firstRow);
}

const resizeSide = 16; // views_resize.wgsl
const finishSide = 44; // views_finish.wgsl, with margins

/** Margin of a tile that six passes of the widest box use up: three in each direction. */
function blurHalo({ views }: ViewGroup): number {
  const sigmas = views.map(({ blur }) => (blur.probability > 0 ? blur.sigmaPixels[1] : 0));
  const widest = Math.max(...sigmas);
  return widest > 0 ? 3 * (boxBlurFor(widest).radius + 1) : 0;
}

/** `(v / 255 - mean) / deviation` as `(v - center) · scale`. */
function normalisation({ mean, deviation }: ViewConfig): { center: number[]; scale: number[] } {
  const perChannel = [0, 1, 2].map((c) => [mean[c] ?? 0, deviation[c] ?? 1] as const);
  return { center: perChannel.map(([m]) => 255 * m), scale: perChannel.map(([, s]) => 1 / (255 * s)) };
}

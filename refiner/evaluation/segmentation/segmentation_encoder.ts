import { OptionError, type Program, type Tensor } from "../../../engine/index.ts";
import { gridOf, segmentTokens, type VisionTransformer } from "../../../models/index.ts";
import { evaluationViews } from "../../data/views/index.ts";
import type { Normalisation } from "./planes.ts";
import { patchRows, segmentationBlocks } from "./segmentation_grid.ts";

/** Published distance of windows, in sides of a window. */
const publishedStride = 170 / 224;

/** How a frozen encoder sees images in a segmentation: as squares of a size. */
export interface SegmentationView {
  readonly model: VisionTransformer;
  /** Of training crops and test windows, in pixels. */
  readonly side: number;
  /** Pixels between the windows that images are tested in. */
  readonly stride: number;
  readonly channels: 1 | 3;
  /** Patches of a square. */
  readonly rows: number;
  readonly columns: number;
  readonly normalisation: Normalisation;
}

/** @param side - default the model's own height @throws OptionError for a side that is no multiple of a patch, or other channels than 1 or 3 */
export function segmentationView(
  model: VisionTransformer,
  side = model.config.heightPixels,
  stride = Math.max(1, Math.round(side * publishedStride)),
): SegmentationView {
  const { channels } = model.config;
  if (channels !== 1 && channels !== 3)
    throw new OptionError(`segmentation probe: the model takes ${channels} channels; images have 1 or 3`);
  if (stride > side)
    throw new OptionError(
      `segmentation probe: windows of ${side} pixels would leave gaps at a stride of ${stride}; give one of at most ${side}`,
    );
  const [rows, columns] = gridOf(model.config, side, side);
  return { model, side, stride, channels, rows, columns, normalisation: evaluationViews(side, channels) };
}

/**
 * Records the encoder on squares, and the rows that heads read.
 *
 * @returns `[images · patches, width of the source]`; its input is `images`, `[images, channels, side, side]`
 */
export function encodedPatches(program: Program, { model, side, channels }: SegmentationView, images: number): Tensor {
  const blocks = segmentationBlocks(model.config);
  const encoded = model.forward(program.input("images", [images, channels, side, side]), { taps: blocks });
  const tokens = blocks.map((block) => {
    const rows = encoded.taps.get(block);
    if (!rows) throw new OptionError(`segmentation probe: block ${block} was not tapped`);
    return segmentTokens({ ...encoded, rows }, 0);
  });
  return patchRows(tokens, model.config.classTokens);
}

import { dirname, join, relative } from "node:path";
import { writeBytesAtomic } from "../../engine/platform/files_node.ts";
import { makeFolders } from "../../engine/platform/folders_node.ts";
import { encodePng, type MaskSource } from "../../refiner/data/index.ts";
import type { IntersectionScores, PixelConfusion, SegmentedImage } from "../../refiner/evaluation/index.ts";

/** Where what is predicted for test images goes; nowhere without a folder. */
export interface SegmentationFolders {
  /** Masks with the numbers of the given ones. */
  readonly predictedMasks?: string;
  /** Images with the predicted classes as colours over them. */
  readonly overlays?: string;
  /** Of the given masks, whose names the files take. */
  readonly masksFolder: string;
  /** Of the labels: a class is stored as its label minus this. */
  readonly offset: number;
  readonly overwrite: boolean;
}

/** Writes what is predicted for one image. */
export async function writeSegmented(
  { index, image, predicted }: SegmentedImage,
  masks: MaskSource,
  { predictedMasks, overlays, masksFolder, offset, overwrite }: SegmentationFolders,
): Promise<void> {
  const { width, height } = image;
  const name = relative(masksFolder, masks.name(index));
  const write = async (folder: string, bytes: Uint8Array): Promise<void> => {
    const path = join(folder, name);
    await makeFolders(dirname(path));
    await writeBytesAtomic(path, bytes, { overwrite });
  };
  if (predictedMasks !== undefined) {
    const data = predicted.map((one) => one - offset);
    const isPalette = data.every((one) => one < paletteColours);
    const pixels = isPalette ? ({ kind: "palette", data, colours } as const) : ({ kind: "grey16", data } as const);
    await write(predictedMasks, await encodePng(width, height, pixels));
  }
  if (overlays !== undefined)
    await write(overlays, await encodePng(width, height, { kind: "rgb", data: overlaid(image, predicted) }));
}

const paletteColours = 256;

/** The colours of Pascal VOC's masks: bits of the number, spread over the three channels, highest bits of a channel first. */
const colours = Uint8Array.from({ length: 3 * paletteColours }, (_, i) => {
  const [number, channel] = [Math.floor(i / 3), i % 3];
  let value = 0;
  for (let bit = 0; bit < 3; bit++) value |= ((number >> (3 * bit + channel)) & 1) << (7 - bit);
  return value;
});

/** An image as RGB with the colours of classes over it; what has no class (below 0) is dark. */
export function overlaid({ data, channels }: SegmentedImage["image"], classes: ArrayLike<number>): Uint8Array {
  return Uint8Array.from({ length: 3 * classes.length }, (_, i) => {
    const pixel = Math.floor(i / 3);
    const sample = data[channels === 3 ? i : pixel] ?? 0;
    return (sample + (colours[3 * colourOf(classes[pixel] ?? -1) + (i % 3)] ?? 0)) >> 1;
  });
}

/** The colour of a class in overlays, as CSS has it. */
export function classColour(c: number): string {
  const channels = colours.subarray(3 * colourOf(c), 3 * colourOf(c) + 3);
  return `#${[...channels].map((value) => value.toString(16).padStart(2, "0")).join("")}`;
}

/** Black, the first colour, would hide nothing: it stands for no class. */
function colourOf(c: number): number {
  return c < 0 ? 0 : 1 + (c % (paletteColours - 1));
}

/** Pixels of a class: labelled as it, predicted as it, and both. */
export function classCounts({ classes, counts }: PixelConfusion, c: number) {
  let [labelled, predicted] = [0, 0];
  for (let other = 0; other < classes; other++) {
    labelled += counts[c * classes + other] ?? 0;
    predicted += counts[other * classes + c] ?? 0;
  }
  return { labelled, predicted, right: counts[c * classes + c] ?? 0 };
}

/** Writes a row per class: its stored number, intersection over union (empty where it occurs nowhere), and pixels. */
export async function writePerClass(
  path: string,
  { perClass }: IntersectionScores,
  table: PixelConfusion,
  offset: number,
  overwrite: boolean,
): Promise<void> {
  const rows = perClass.map((value, c) => {
    const { labelled, predicted, right } = classCounts(table, c);
    return [c, c - offset, value ?? "", labelled, predicted, right].join(",");
  });
  const text = ["class,stored,iou,labelled,predicted,right", ...rows].map((row) => `${row}\n`).join("");
  await writeBytesAtomic(path, new TextEncoder().encode(text), { overwrite });
}

import type { Box } from "./parameter_table.ts";
import type { Range } from "./view_config.ts";

export interface ImageSize {
  readonly width: number;
  readonly height: number;
}

/** Attempts before the largest centred crop is taken. */
const attempts = 10;

/**
 * Area and aspect ratio of Szegedy et al. (CVPR 2015) as torchvision's `RandomResizedCrop` draws them: ten attempts, then
 * the largest centred crop whose ratio is allowed.
 *
 * @param draw - four uniform numbers in [0, 1) for an attempt: area, ratio, top, left
 */
export function randomCrop(
  { width, height }: ImageSize,
  area: Range,
  ratio: Range,
  draw: (attempt: number) => readonly number[],
): Box {
  for (let attempt = 0; attempt < attempts; attempt++) {
    const [u0 = 0, u1 = 0, u2 = 0, u3 = 0] = draw(attempt);
    const pixels = width * height * (area[0] + u0 * (area[1] - area[0]));
    const aspect = Math.exp(Math.log(ratio[0]) + u1 * (Math.log(ratio[1]) - Math.log(ratio[0])));
    const w = Math.round(Math.sqrt(pixels * aspect));
    const h = Math.round(Math.sqrt(pixels / aspect));
    if (w > 0 && w <= width && h > 0 && h <= height)
      return { left: Math.floor(u3 * (width - w + 1)), top: Math.floor(u2 * (height - h + 1)), width: w, height: h };
  }
  const w = Math.min(width, Math.max(1, Math.round(height * ratio[1])));
  const h = Math.min(height, Math.max(1, Math.round(width / ratio[0])));
  return { left: Math.floor((width - w) / 2), top: Math.floor((height - h) / 2), width: w, height: h };
}

/**
 * Resizes the shorter side to `shorterSide` (the longer one truncated) and takes the centre, as torchvision's `Resize` and
 * `CenterCrop` do.
 *
 * @returns size of the resized image, and where the centre begins in it
 */
export function centreOf({ width, height }: ImageSize, shorterSide: number, view: ImageSize): Box {
  const long = (side: number, other: number): number => Math.floor((shorterSide * side) / other);
  const w = width <= height ? shorterSide : long(width, height);
  const h = height <= width ? shorterSide : long(height, width);
  return { width: w, height: h, left: roundHalfEven((w - view.width) / 2), top: roundHalfEven((h - view.height) / 2) };
}

/** Shorter side that an image is resized to for evaluation, so that the view is 224/256 of it along the tighter side. */
export function evaluationSide({ width, height }: ImageSize, view: ImageSize): number {
  const scale = Math.max(view.width / width, view.height / height);
  return Math.round((Math.min(width, height) * scale * 256) / 224);
}

function roundHalfEven(x: number): number {
  const floor = Math.floor(x);
  return x - floor === 0.5 ? floor + (floor % 2) : Math.round(x);
}

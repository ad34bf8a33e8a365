/** Amounts by severity 1 … 5: those with which ImageNet-C (arXiv 1903.12261) was made. */
export const corruptionLevels = {
  gaussian_noise: [0.08, 0.12, 0.18, 0.26, 0.38],
  shot_noise: [60, 25, 12, 5, 3],
  impulse_noise: [0.03, 0.06, 0.09, 0.17, 0.27],
  speckle_noise: [0.15, 0.2, 0.35, 0.45, 0.6],
  gaussian_blur: [1, 2, 3, 4, 6],
  glass_blur: [
    [0.7, 1, 2],
    [0.9, 2, 1],
    [1, 2, 3],
    [1.1, 3, 2],
    [1.5, 4, 2],
  ],
  fog: [
    [1.5, 2],
    [2, 2],
    [2.5, 1.7],
    [2.5, 1.5],
    [3, 1.4],
  ],
  contrast: [0.4, 0.3, 0.2, 0.1, 0.05],
  brightness: [0.1, 0.2, 0.3, 0.4, 0.5],
  saturate: [
    [0.3, 0],
    [0.1, 0],
    [2, 0],
    [5, 0.1],
    [20, 0.2],
  ],
  jpeg_compression: [25, 18, 15, 10, 7],
  pixelate: [0.6, 0.5, 0.4, 0.3, 0.25],
  zoom_blur: [zooms(1.11, 0.01), zooms(1.16, 0.01), zooms(1.21, 0.02), zooms(1.26, 0.02), zooms(1.31, 0.03)],
} as const satisfies Readonly<Record<string, readonly (number | readonly number[])[]>>;

/** A corruption that can be made of an image at hand; ImageNet-C has six more, which need photographs or other programs. */
export type Corruption = keyof typeof corruptionLevels;

export const corruptions: readonly Corruption[] = Object.keys(corruptionLevels).filter(isCorruption);

export function isCorruption(name: string): name is Corruption {
  return Object.hasOwn(corruptionLevels, name);
}

/** Factors from 1 on, as NumPy's `arange` counts and rounds them. */
function zooms(end: number, step: number): number[] {
  const rounded = 1 + step - 1;
  return Array.from({ length: Math.ceil((end - 1) / step) }, (_, i) => 1 + i * rounded);
}

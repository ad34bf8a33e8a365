// Operations of RandAugment in float64 as Pillow 9.4 computes them, with its truncations; blends in float32.

import { augmentCodes } from "../../refiner/data/views/augment_steps.ts";
import type { AugmentAmount } from "../../refiner/data/views/index.ts";
import type { Picture } from "./views.ts";

/** @param fill - colour of what comes from outside */
export function augmentReference(image: Picture, amount: AugmentAmount, fill: readonly number[]): Picture {
  if ("map" in amount) return affine(image, amount.map, fill);
  const grey = greyOf(image);
  const value = "whole" in amount ? amount.whole : amount.factor;
  const { data } = image;
  const each = (change: (value: number, channel: number, pixel: number) => number): Picture => ({
    ...image,
    data: Uint8Array.from(data, (old, i) => change(old, i % 3, Math.floor(i / 3))),
  });
  const { autoContrast, equalise, invert, posterise, solarise, solariseAdd, contrast, brightness, colour } =
    augmentCodes;
  if (amount.code === invert) return each((v) => 255 - v);
  if (amount.code === posterise) return each((v) => v & ~(255 >> value));
  if (amount.code === solarise) return each((v) => (v < value ? v : 255 - v));
  if (amount.code === solariseAdd) return each((v) => (v < 128 ? Math.min(255, v + value) : v));
  if (amount.code === brightness) return each((v) => blend(v, 0, value));
  if (amount.code === colour) return each((v, _, pixel) => blend(v, grey[pixel] ?? 0, value));
  if (amount.code === contrast) {
    const mean = Math.trunc(grey.reduce((sum, v) => sum + v, 0) / grey.length + 0.5);
    return each((v) => blend(v, mean, value));
  }
  if (amount.code === autoContrast) {
    const ends = [0, 1, 2].map((c) => channelOf(image, c)).map((all) => [Math.min(...all), Math.max(...all)] as const);
    return each((v, c) => stretched(v, ends[c] ?? [0, 0]));
  }
  if (amount.code === equalise) {
    const tables = [0, 1, 2].map((c) => equalisation(channelOf(image, c)));
    return each((v, c) => tables[c]?.[v] ?? 0);
  }
  const smooth = smoothed(image);
  return each((v, c, pixel) => blend(v, smooth[3 * pixel + c] ?? 0, value));
}

function blend(value: number, other: number, factor: number): number {
  const product = Math.fround(Math.fround(factor) * (value - other));
  return Math.trunc(Math.min(255, Math.max(0, Math.fround(other + product))));
}

function greyOf({ data }: Picture): number[] {
  return Array.from({ length: data.length / 3 }, (_, i) => {
    const [r = 0, g = 0, b = 0] = data.slice(3 * i, 3 * i + 3);
    return (19595 * r + 38470 * g + 7471 * b + 32768) >>> 16;
  });
}

function channelOf({ data }: Picture, channel: number): number[] {
  return Array.from(data).filter((_, i) => i % 3 === channel);
}

function stretched(value: number, [low, high]: readonly [number, number]): number {
  if (high <= low) return value;
  const scale = 255 / (high - low);
  return Math.min(255, Math.max(0, Math.trunc(value * scale + -low * scale)));
}

function equalisation(values: readonly number[]): number[] {
  const counts = Array.from({ length: 256 }, (_, v) => values.filter((other) => other === v).length);
  const occurring = counts.filter((count) => count > 0);
  const step = Math.floor((values.length - (occurring.at(-1) ?? 0)) / 255);
  if (step === 0 || occurring.length <= 1) return counts.map((_, v) => v);
  let below = Math.floor(step / 2);
  return counts.map((count) => {
    const level = Math.min(255, Math.floor(below / step));
    below += count;
    return level;
  });
}

function smoothed({ width, height, data }: Picture): number[] {
  return Array.from(data, (value, i) => {
    const [x, y, c] = [Math.floor(i / 3) % width, Math.floor(i / 3 / width), i % 3];
    if (x === 0 || y === 0 || x === width - 1 || y === height - 1) return value;
    let sum = 4 * value;
    for (const dy of [-1, 0, 1]) for (const dx of [-1, 0, 1]) sum += data[3 * ((y + dy) * width + x + dx) + c] ?? 0;
    return Math.trunc(sum / 13 + 0.5);
  });
}

function affine({ width, height, data }: Picture, map: readonly number[], fill: readonly number[]): Picture {
  const [a = 1, b = 0, c = 0, d = 0, e = 1, f = 0] = map;
  const result = data.slice();
  for (let i = 0; i < data.length; i++) {
    const [x, y, channel] = [Math.floor(i / 3) % width, Math.floor(i / 3 / width), i % 3];
    const column = a * (x + 0.5) + b * (y + 0.5) + c;
    const row = d * (x + 0.5) + e * (y + 0.5) + f;
    if (column < 0 || column >= width || row < 0 || row >= height) {
      result[i] = fill[channel] ?? 0;
      continue;
    }
    const [left, top] = [Math.floor(column - 0.5), Math.floor(row - 0.5)];
    const lines = [-1, 0, 1, 2].map((down) => {
      const start = Math.min(height - 1, Math.max(0, top + down)) * width;
      const four = [-1, 0, 1, 2].map((right) => Math.min(width - 1, Math.max(0, left + right)));
      return cubic(
        four.map((at) => data[3 * (start + at) + channel] ?? 0),
        column - 0.5 - left,
      );
    });
    result[i] = Math.trunc(Math.min(255, Math.max(0, cubic(lines, row - 0.5 - top))));
  }
  return { width, height, data: result };
}

function cubic([v1 = 0, v2 = 0, v3 = 0, v4 = 0]: readonly number[], t: number): number {
  return v2 + t * (-v1 + v3 + t * (2 * (v1 - v2) + v3 - v4 + t * (-v1 + v2 - v3 + v4)));
}

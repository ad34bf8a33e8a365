import { describe, expect, it } from "vitest";
import { recordProgram, ShapeError } from "../../../../engine/index.ts";
import {
  BatchCapacityError,
  drawViewParameters,
  packedImages,
  packImages,
  refineViews,
  type ViewConfig,
  views,
  viewWords,
} from "../../../../refiner/data/views/index.ts";
import { testDevice } from "../../../device.ts";
import { picture, reference, render, unchanged } from "./render.ts";
import { parametersOf } from "./table.ts";

const device = await testDevice();
const config: ViewConfig = { ...refineViews({ globalPixels: 48, localPixels: 21, localViews: 3 }), ...unchanged };
const images = [picture(90, 61, 1), picture(40, 77, 2), picture(33, 32, 3), picture(120, 119, 4), picture(64, 64, 5)];
const samples = images.map(({ width, height }, index) => ({ index: 100 + index, width, height }));

describe("the views of a batch", () => {
  it("equal the reference for drawn parameters", async () => {
    const differences: number[] = [];
    const table = drawViewParameters(config, { seed: 5, step: 0, samples });
    const { global, local } = await render(device, images, config, table);
    for (let row = 0; row < 25; row++) {
      const [values, first, size] = row < 10 ? [global, row, 48] : [local, row - 10, 21];
      const image = images[row % 5];
      if (!image) throw new Error("no image");
      const expected = reference(image, parametersOf(table, row), { width: size, height: size });
      for (let i = 0; i < expected.length; i++) {
        differences.push(Math.abs(Math.round(values[first * 3 * size * size + i] ?? 0) - (expected[i] ?? 0)));
      }
    }
    // Written so that NaN counts.
    const shareAbove = (limit: number) =>
      differences.filter((difference) => !(difference <= limit)).length / differences.length;
    // A byte that the resize rounds the other way (1 in 20,000) can move the hue byte by one, and that a channel by 6 levels,
    // before contrast and brightness stretch it by up to 1.4 each.
    expect(shareAbove(12)).toBe(0);
    expect(shareAbove(0)).toBeLessThanOrEqual(1e-3);
    expect(shareAbove(2)).toBeLessThanOrEqual(1e-4);
  });

  it("are the same in micro-batches, bit for bit", async () => {
    const whole = await render(device, images, config, drawViewParameters(config, { seed: 1, step: 4, samples }));
    const [from, to] = [2, 4];
    const part = await render(
      device,
      images.slice(from, to),
      config,
      drawViewParameters(config, { seed: 1, step: 4, samples: samples.slice(from, to) }),
    );
    const size = 3 * 48 * 48;
    for (let view = 0; view < 2; view++) {
      for (let b = from; b < to; b++) {
        const expected = Array.prototype.slice.call(whole.global, (view * 5 + b) * size, (view * 5 + b + 1) * size);
        const row = view * 2 + b - from;
        expect(Array.prototype.slice.call(part.global, row * size, (row + 1) * size)).toEqual(expected);
      }
    }
  });

  it("take six dispatches", () => {
    const recorded = recordProgram(device, (p) => {
      const operands = {
        images: p.input("images", [1000], "u32"),
        table: p.input("table", [4, 4], "u32"),
        parameters: p.input("parameters", [48, viewWords], "u32"),
      };
      const { global, local = global } = views(p, operands, refineViews());
      return { global, local };
    });
    expect(recorded.stats.dispatches).toBe(6);
  });

  it("refuse parameters of another number of views", () => {
    expect(() =>
      recordProgram(device, (p) => {
        const operands = {
          images: p.input("images", [1000], "u32"),
          table: p.input("table", [4, 4], "u32"),
          parameters: p.input("parameters", [47, viewWords], "u32"),
        };
        return { global: views(p, operands, refineViews()).global };
      }),
    ).toThrow(ShapeError);
  });
});

describe("packed images", () => {
  it("that exceed the capacity are refused with the remedy", () => {
    expect(() => packImages(images, 1000)).toThrow(BatchCapacityError);
    expect(() => packImages(images, 1000)).toThrow(/room for 1000; .* bound the decode size/);
  });

  it("use given memory again", () => {
    const memory = packedImages(5, 100_000);
    expect(packImages(images, 100_000, memory).images).toBe(memory.images);
    expect([...memory.table.subarray(4, 8)]).toEqual([90 * 61 * 3, 40, 77, 0]);
  });

  it("of different numbers of channels are refused", () => {
    expect(() => packImages([picture(4, 4, 1), picture(4, 4, 1, 1)], 1000)).toThrow(
      /image 1 has 1 channels, image 0 has 3/,
    );
  });
});

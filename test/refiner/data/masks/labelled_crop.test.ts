import { spawnSync } from "node:child_process";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { cropPixels, fittedSize, padLabels } from "../../../../refiner/data/masks/labelled_crop.ts";
import { nearestSources } from "../../../../refiner/data/masks/nearest.ts";
import { cutImage, resizeBicubic } from "../../../../refiner/data/masks/resize_bicubic.ts";

/** The interpreter of the Debian package python3-pil. */
const python = "/usr/bin/python3";
const hasPillow = spawnSync(python, ["-c", "import PIL"]).status === 0;

const resize = `
import json, sys
from PIL import Image
for job in json.loads(sys.stdin.read()):
    im = Image.frombytes("RGB" if job["c"] == 3 else "L", (job["w"], job["h"]), bytes(job["data"]))
    print(json.dumps(list(im.resize((job["W"], job["H"]), Image.BICUBIC).tobytes())))
`;

it.skipIf(!hasPillow)(
  "resizes as Pillow does, to the bit (skipped where python3-pil is not installed)",
  () => {
    const size = fc.integer({ min: 1, max: 60 });
    const jobs = fc.sample(
      fc.record({ w: size, h: size, W: size, H: size, c: fc.constantFrom(1 as const, 3 as const) }),
      {
        numRuns: 40,
        seed: 7,
      },
    );
    const images = jobs.map(({ w, h, c }, job) =>
      Uint8Array.from({ length: w * h * c }, (_, i) => (Math.imul(i + job, 2654435761) >>> 13) & 255),
    );
    const input = JSON.stringify(jobs.map((job, i) => ({ ...job, data: [...(images[i] ?? [])] })));
    const { stdout, stderr } = spawnSync(python, ["-c", resize], { input, encoding: "utf8" });
    const theirs: number[][] = stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect([stderr, theirs.length]).toEqual(["", jobs.length]);
    for (const [i, { w, h, W, H, c }] of jobs.entries()) {
      const ours = resizeBicubic({ width: w, height: h, channels: c, data: images[i] ?? new Uint8Array() }, H, W);
      expect([...ours.data]).toEqual(theirs[i]);
    }
  },
  60_000,
);

it("a part of a resized image is to the bit that part of the whole", () => {
  const size = fc.integer({ min: 1, max: 40 });
  const share = fc.double({ min: 0, max: 1, noNaN: true });
  const cases = fc.record({ w: size, h: size, W: size, H: size, c: fc.constantFrom(1 as const, 3 as const) });
  fc.assert(
    fc.property(cases, fc.tuple(share, share, share, share), ({ w, h, W, H, c }, [top, left, height, width]) => {
      const data = Uint8Array.from({ length: w * h * c }, (_, i) => (Math.imul(i + w, 2654435761) >>> 13) & 255);
      const image = { width: w, height: h, channels: c, data };
      const at = { top: Math.floor(top * (H - 1)), left: Math.floor(left * (W - 1)) };
      const part = {
        ...at,
        height: 1 + Math.floor(height * (H - 1 - at.top)),
        width: 1 + Math.floor(width * (W - 1 - at.left)),
      };
      expect(resizeBicubic(image, H, W, part)).toEqual(cutImage(resizeBicubic(image, H, W), part));
    }),
    { numRuns: 200 },
  );
});

describe("training crops", () => {
  const rows = (labels: readonly (readonly number[])[]) => ({
    image: {
      width: labels[0]?.length ?? 0,
      height: labels.length,
      channels: 1 as const,
      data: Uint8Array.from(labels.flat(), (label) => 10 * (label + 1)),
    },
    labels: { width: labels[0]?.length ?? 0, height: labels.length, data: Int32Array.from(labels.flat()) },
  });

  it("keep image and labels together, mirrored or not", () => {
    const whole = rows([
      [0, 1, 2, 3],
      [4, 5, 6, 7],
    ]);
    for (const flip of [0.4, 0.6]) {
      const { image, labels } = cropPixels(whole, whole.labels, 2, { ratio: 1, flip, place: () => [0, 1] });
      expect([...labels.data]).toEqual(flip < 0.5 ? [2, 1, 6, 5] : [1, 2, 5, 6]);
      expect([...image.data]).toEqual([...labels.data].map((label) => 10 * (label + 1)));
    }
  });

  it("are drawn anew while one class covers three quarters of the labelled pixels, at most ten times", () => {
    const asked = (labels: readonly (readonly number[])[], side: number) => {
      let count = 0;
      const place = () => {
        count++;
        return [0, 0] as const;
      };
      const whole = rows(labels);
      cropPixels(whole, whole.labels, side, { ratio: 1, flip: 1, place });
      return count;
    };
    expect(
      asked(
        [
          [0, 0],
          [0, 1],
        ],
        2,
      ),
    ).toBe(11); // exactly three quarters
    expect(
      asked(
        [
          [0, 0],
          [1, 1],
        ],
        2,
      ),
    ).toBe(1);
    expect(
      asked(
        [
          [-1, -1],
          [1, 0],
        ],
        2,
      ),
    ).toBe(1); // what is ignored has no share
    expect(
      asked(
        [
          [-1, -1],
          [1, 1],
        ],
        2,
      ),
    ).toBe(11);
  });

  it("are padded evenly, an odd pixel more on the right and below, with what is ignored", () => {
    expect([...padLabels({ width: 2, height: 1, data: Int32Array.of(5, 6) }, 3).data]).toEqual([
      -1, -1, -1, 5, 6, -1, -1, -1, -1,
    ]);
    expect([...padLabels({ width: 1, height: 1, data: Int32Array.of(5) }, 2).data]).toEqual([5, -1, -1, -1]);
  });

  it("come from images whose longer side is at most twice the other bound", () => {
    expect(fittedSize({ width: 60, height: 40 }, 24, 1)).toEqual({ width: 36, height: 24 });
    expect(fittedSize({ width: 400, height: 40 }, 24, 1)).toEqual({ width: 48, height: 5 });
  });
});

it("reads the nearest sample with the quotient in f32", () => {
  expect([...nearestSources(6, 3)]).toEqual([0, 0, 1, 1, 2, 2]);
  expect([...nearestSources(3, 6)]).toEqual([0, 2, 4]);
  for (const side of [224, 96, 384])
    for (const patch of [8, 14, 16]) {
      const patches = Math.floor(side / patch);
      const found = nearestSources(side, patches);
      expect(found.every((value, i) => i === 0 || (value >= (found[i - 1] ?? 0) && value < patches))).toBe(true);
    }
});

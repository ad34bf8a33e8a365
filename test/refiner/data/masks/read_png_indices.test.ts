import { spawnSync } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { labelsOfIndices } from "../../../../refiner/data/masks/mask_labels.ts";
import { crc32 } from "../../../../refiner/data/masks/png_chunks.ts";
import { readPngIndices } from "../../../../refiner/data/masks/read_png_indices.ts";
import { encodePng } from "../../../../refiner/data/masks/write_png.ts";
import { temporaryFolder } from "../../../cli/run_command.ts";

const at = await temporaryFolder();
/** The interpreter of the Debian package python3-pil. */
const python = "/usr/bin/python3";

/** What Pillow writes: `values` of a mode, with `bits` in a palette. */
const writer = `
import json, sys
from PIL import Image
job = json.loads(sys.stdin.read())
w, h, mode = job["width"], job["height"], job["mode"]
image = Image.new("I;16" if mode == "I;16" else mode, (w, h))
if mode == "P": image.putpalette([(7 * i + c * 31) % 256 for i in range(256) for c in range(3)])
for i, v in enumerate(job["values"]): image.putpixel((i % w, i // w), v)
options = {} if job["bits"] == 8 or mode != "P" else {"bits": job["bits"]}
image.save(job["path"], **options)
print(json.dumps(options))
`;

function pillow(job: Record<string, unknown>): void {
  const { status, stderr } = spawnSync(python, ["-c", writer], { input: JSON.stringify(job), encoding: "utf8" });
  if (status !== 0) throw new Error(stderr);
}

const hasPillow = spawnSync(python, ["-c", "import PIL"]).status === 0;

describe.skipIf(!hasPillow)("masks that Pillow wrote (skipped where python3-pil is not installed)", () => {
  it.each([
    { mode: "P", bits: 1, depth: 1 },
    { mode: "P", bits: 2, depth: 2 },
    { mode: "P", bits: 4, depth: 4 },
    { mode: "P", bits: 8, depth: 8 },
    { mode: "L", bits: 8, depth: 8 },
    { mode: "1", bits: 1, depth: 1 },
    { mode: "I;16", bits: 16, depth: 16 },
  ])("are read as numbers: $mode of $bits bits", { timeout: 60_000 }, async ({ mode, bits, depth }) => {
    const [width, height] = [37, 19];
    const values = Array.from({ length: width * height }, (_, i) => (i * i * 7919 + 13 * i) % 2 ** depth);
    const path = at(`${mode.replace(";", "")}${bits}.png`);
    // Pillow's mode 1 has the values 0 and 255.
    pillow({ width, height, mode, bits, path, values: mode === "1" ? values.map((v) => 255 * v) : values });
    const bytes = Uint8Array.from(await readFile(path));
    expect(bytes[24]).toBe(depth); // as many bits in the file
    const image = await readPngIndices(bytes, path);
    expect([image.width, image.height]).toEqual([width, height]);
    expect([...image.data]).toEqual(values);
  });

  it("are read by Pillow as they were written", { timeout: 60_000 }, async () => {
    const data = Uint8Array.from({ length: 35 }, (_, i) => (i * 11) % 256);
    const path = at("ours.png");
    const colours = Uint8Array.from({ length: 768 }, (_, i) => i % 256);
    await writeFile(path, await encodePng(7, 5, { kind: "palette", data, colours }));
    const read = `from PIL import Image; im = Image.open(${JSON.stringify(path)}); print(im.mode, im.size, list(im.getdata()))`;
    const { stdout } = spawnSync(python, ["-c", read], { encoding: "utf8" });
    expect(stdout.trim()).toBe(`P (7, 5) [${[...data].join(", ")}]`);
  });
});

describe("readPngIndices", () => {
  it("gives back what was written, of any size", { timeout: 60_000 }, async () => {
    const sizes = fc.record({ width: fc.integer({ min: 1, max: 40 }), height: fc.integer({ min: 1, max: 40 }) });
    await fc.assert(
      fc.asyncProperty(sizes, fc.boolean(), fc.integer(), async ({ width, height }, isWide, seed) => {
        const levels = isWide ? 65536 : 256;
        const data = Array.from({ length: width * height }, (_, i) => Math.abs(Math.imul(i + 1, seed | 1)) % levels);
        const pixels = isWide
          ? ({ kind: "grey16", data } as const)
          : ({ kind: "palette", data, colours: new Uint8Array(768) } as const);
        const image = await readPngIndices(await encodePng(width, height, pixels), "mask.png");
        expect([...image.data]).toEqual(data);
      }),
      { numRuns: 50 },
    );
  });

  it("refuses colours, other formats, damage and sizes that no mask has, naming the file", async () => {
    const rgb = await encodePng(2, 2, { kind: "rgb", data: new Uint8Array(12) });
    await expect(readPngIndices(rgb, "a.png")).rejects.toThrow(/a\.png holds colours.*palette indices or grey/);
    await expect(readPngIndices(Uint8Array.of(255, 216, 255), "b.png")).rejects.toThrow(/b\.png is no PNG file/);
    const good = await encodePng(9, 9, { kind: "grey16", data: new Array(81).fill(3) });
    await expect(readPngIndices(good.slice(0, good.length - 9), "c.png")).rejects.toThrow(
      /c\.png is damaged: it is cut/,
    );
    for (let i = 8; i < good.length - 12; i++) {
      const broken = good.slice();
      broken[i] = (broken[i] ?? 0) ^ 1;
      await expect(readPngIndices(broken, "d.png")).rejects.toThrow(/d\.png/);
    }
  });

  it("holds no more memory than its rows need: a header of many pixels is refused", async () => {
    const colours = new Uint8Array(3);
    const line = await encodePng(70_000, 1, { kind: "palette", data: new Uint8Array(70_000), colours });
    await expect(readPngIndices(line, "e.png")).resolves.toMatchObject({ width: 70_000 });
    const bomb = line.slice();
    const view = new DataView(bomb.buffer);
    view.setUint32(20, 70_000); // height
    view.setUint32(29, crc32(bomb.subarray(12, 29)));
    await expect(readPngIndices(bomb, "e.png")).rejects.toThrow(/e\.png states 70000 × 70000 pixels/);
  });
});

describe("labelsOfIndices", () => {
  const mask = { width: 3, height: 1, data: Uint16Array.of(0, 4, 255) };

  it("adds the offset, and ignores the ignored number and what falls below 0", () => {
    expect([...labelsOfIndices(mask, {}, "m").data]).toEqual([0, 4, -1]);
    expect([...labelsOfIndices(mask, { offset: -1 }, "m").data]).toEqual([-1, 3, -1]);
    expect([...labelsOfIndices(mask, { ignore: 4 }, "m").data]).toEqual([0, -1, 255]);
  });

  it("refuses a label that is no class, with its file, number and pixel", () => {
    expect(() => labelsOfIndices(mask, { classes: 4 }, "m.png")).toThrow(
      /m\.png holds 4 at pixel 1, 0, which is label 4 of 4 classes/,
    );
    expect(() => labelsOfIndices(mask, { classes: 4, offset: -1 }, "m.png")).not.toThrow();
  });
});

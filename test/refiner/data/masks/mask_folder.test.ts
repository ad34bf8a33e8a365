import { mkdir, writeFile } from "node:fs/promises";
import { describe, expect, it } from "vitest";
import { imagesInMemory } from "../../../../refiner/data/index.ts";
import { pairMasks } from "../../../../refiner/data/masks/mask_folder_node.ts";
import { countClasses, labelledPixels } from "../../../../refiner/data/masks/mask_source.ts";
import { encodePng } from "../../../../refiner/data/masks/write_png.ts";
import { temporaryFolder } from "../../../cli/run_command.ts";

const at = await temporaryFolder();

async function maskFile(path: string, width: number, values: readonly number[]): Promise<void> {
  await writeFile(path, await encodePng(width, values.length / width, { kind: "grey16", data: values }));
}

function images(...names: readonly string[]) {
  const list = names.map(() => ({ width: 2, height: 1, channels: 1, data: Uint8Array.of(1, 2) }) as const);
  return imagesInMemory(list, { names: names.map((name) => at(`images/${name}`)) });
}

describe("pairMasks", () => {
  it("pairs by path, and counts and names what has no partner", async () => {
    await mkdir(at("masks/a"), { recursive: true });
    for (const name of ["a/x.png", "y.png", "z.png"]) await maskFile(at(`masks/${name}`), 2, [1, 3]);
    const paired = await pairMasks(images("a/x.jpg", "y.jpeg", "b/y.png", "w.png"), at("images"), at("masks"));
    expect([...paired.indices]).toEqual([0, 1]);
    expect(paired.images.length).toBe(2);
    expect(paired.masks.name(0)).toBe(at("masks/a/x.png"));
    expect(paired.notices[0]).toMatch(
      /^2 of 4 images have no mask .*: b\/y\.png, w\.png|^2 of 4 images .* b\/y\.png, w\.png$/,
    );
    expect(paired.notices[1]).toMatch(/^1 of 3 masks .* have no image: z\.png$/);
    expect(await countClasses(paired.masks, {})).toBe(4);
  });

  it("refuses a folder without any partner, and one that is not there", async () => {
    await mkdir(at("empty"), { recursive: true });
    await expect(pairMasks(images("q.jpg"), at("images"), at("empty"))).rejects.toThrow(/such as q\.png for/);
    await expect(pairMasks(images("q.jpg"), at("images"), at("nowhere"))).rejects.toThrow(/nowhere cannot be read/);
  });

  it("refuses a mask of another size than its image", async () => {
    await mkdir(at("tall"), { recursive: true });
    await maskFile(at("tall/x.png"), 1, [0, 1]);
    const { images: found, masks } = await pairMasks(images("x.png"), at("images"), at("tall"));
    await expect(labelledPixels(masks, 0, await found.load(0), {})).rejects.toThrow(
      /x\.png has 1 × 2 pixels, its image 2 × 1/,
    );
  });

  it("says so where no pixel has a label", async () => {
    await mkdir(at("void"), { recursive: true });
    await maskFile(at("void/x.png"), 2, [0, 0]);
    const { masks } = await pairMasks(images("x.png"), at("images"), at("void"));
    await expect(countClasses(masks, { offset: -1 })).rejects.toThrow(/no pixel of 1 masks has a label/);
  });
});

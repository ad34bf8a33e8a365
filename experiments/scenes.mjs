// A segmentation task of real pixels: digits or garments over photographs of Debian's package mate-backgrounds. What an object covers
// is its own mask. Photographs, objects and places of the test scenes are none of the training scenes.
import { mkdir, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { openImages } from "mimrefine/node";
import { encodePng } from "mimrefine/refiner";
import { debianFolder } from "./debian_package.mjs";
import { numbersFrom } from "./random_numbers.mjs";

/** Sides of a scene and of a photograph's shorter side, in pixels: windows of 28 see a part of a scene. */
const sceneSide = 42;
const photographSide = 200;
const testPhotographs = 4;
/** An object's pixels of at least this value hide the photograph and are labelled. */
const visible = 64;

/**
 * Writes scenes and masks into `folder`: `train`, `train-masks`, `test`, `test-masks`. Label 0 is the photograph, then the classes.
 *
 * @param sides - `{ train, test }`, each an image file with labels and how many scenes to make of its first images
 */
export async function makeScenes(folder, sides, packages) {
  const nature = await debianFolder(packages, "mate-backgrounds", "usr/share/backgrounds/mate/nature");
  const files = (await readdir(nature)).sort();
  const photographs = { train: files.slice(0, -testPhotographs), test: files.slice(-testPhotographs) };
  for (const [name, { images, count }] of Object.entries(sides)) {
    const [scenes, masks] = [join(folder, name), join(folder, `${name}-masks`)];
    await mkdir(scenes, { recursive: true });
    await mkdir(masks, { recursive: true });
    const chosen = await greyPhotographs(nature, photographs[name]);
    const objects = await openImages(images, { channels: 1 });
    for (let i = 0; i < count; i++) {
      const scene = composed(await objects.load(i), objects.label(i), chosen, numbersFrom(2 * i + (name === "test")));
      const file = `${String(i).padStart(5, "0")}.png`;
      const rgb = Uint8Array.from({ length: 3 * scene.pixels.length }, (_, at) => scene.pixels[Math.floor(at / 3)]);
      await writeFile(join(scenes, file), await encodePng(sceneSide, sceneSide, { kind: "rgb", data: rgb }));
      const palette = { kind: "palette", data: scene.mask, colours: new Uint8Array(3 * 256).map((_, at) => at % 251) };
      await writeFile(join(masks, file), await encodePng(sceneSide, sceneSide, palette));
    }
    await objects.close?.();
  }
  return Object.fromEntries(Object.keys(sides).map((name) => [name, join(folder, name)]));
}

async function greyPhotographs(folder, files) {
  const source = await openImages(folder, { channels: 1 });
  const wanted = Array.from({ length: source.length }, (_, i) => i).filter((i) =>
    files.some((file) => source.name(i).endsWith(file)),
  );
  const images = await Promise.all(wanted.map((i) => source.load(i, { resizeTo: photographSide })));
  await source.close?.();
  return images;
}

/** An object at a random place over a random square of a random photograph. */
function composed(object, label, photographs, random) {
  const photograph = photographs[Math.floor(random() * photographs.length)];
  const background = square(
    photograph,
    Math.floor(random() * (photograph.width - sceneSide + 1)),
    Math.floor(random() * (photograph.height - sceneSide + 1)),
    sceneSide,
  );
  const [left, top] = [object.width, object.height].map((side) => Math.floor(random() * (sceneSide - side + 1)));
  const pixels = Uint8Array.from(background.data);
  const mask = new Uint8Array(pixels.length);
  for (const [at, value] of object.data.entries()) {
    if (value < visible) continue;
    const place = (top + Math.floor(at / object.width)) * sceneSide + left + (at % object.width);
    pixels[place] = value;
    mask[place] = label + 1;
  }
  return { pixels, mask };
}

/** A square of an image. */
function square({ width, channels, data }, x, y, side) {
  const cut = new Uint8Array(side * side * channels);
  for (let row = 0; row < side; row++) {
    const from = ((y + row) * width + x) * channels;
    cut.set(data.subarray(from, from + side * channels), row * side * channels);
  }
  return { width: side, height: side, channels, data: cut };
}

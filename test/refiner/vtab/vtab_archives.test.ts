import { cp, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import sharp from "sharp";
import { beforeAll, describe, expect, it } from "vitest";
import { openVtabImages, readVtabFolder } from "../../../node.ts";
import { openVtabPlaces } from "../../../refiner/vtab/vtab_place_node.ts";
import { temporaryFolder } from "../../cli/run_command.ts";
import { zipped } from "./zipped.ts";

const at = await temporaryFolder();
const lists = { train800: [0, 8], val200: [8, 12], train800val200: [0, 12], test: [12, 18] } as const;

async function writeTask(folder: string, shade: number): Promise<void> {
  await mkdir(at(`${folder}/images/all`), { recursive: true });
  const names = Array.from({ length: 18 }, (_, i) => `images/all/${i}.png`);
  for (const [i, name] of names.entries()) {
    const data = Uint8Array.from({ length: 60 }, (_, pixel) => (pixel * (i + shade)) & 255);
    const picture = sharp(data, { raw: { width: 10, height: 6, channels: 1 } });
    await picture.png().toFile(at(`${folder}/${name}`));
  }
  for (const [list, [from, end]] of Object.entries(lists))
    await writeFile(
      at(`${folder}/${list}.txt`),
      names
        .slice(from, end)
        .map((name, i) => `${name} ${i % 2}\n`)
        .join(""),
    );
}

beforeAll(async () => {
  await writeTask("plain/svhn", 3);
  await writeTask("plain/kitti", 7);
  await zipped(at("vtab-1k.zip"), at("plain"), "vtab-1k");
  await mkdir(at("mixed"));
  await zipped(at("mixed/svhn.zip"), at("plain/svhn"), "svhn");
  await cp(at("plain/kitti"), at("mixed/kitti"), { recursive: true });
});

/** Pixels, labels and digests of lists of all tasks. */
async function contentOf(path: string) {
  const { tasks, train, test } = await readVtabFolder(path, ["svhn", "kitti"]);
  const pixels: Uint8Array[] = [];
  for (const images of [train, test]) {
    const source = openVtabImages(path, images, { channels: 1, workers: 0 });
    for (let i = 0; i < source.length; i++) pixels.push((await source.load(i)).data);
    await source.close?.();
  }
  return { tasks, labels: [...train, ...test].map(({ label }) => label), pixels };
}

describe("VTAB-1k", () => {
  it.each([
    ["the published archive", "vtab-1k.zip"],
    ["a folder with archives of tasks", "mixed"],
  ])("is read from %s as from folders, pixel by pixel", { timeout: 60_000 }, async (_, path) => {
    const plain = await contentOf(at("plain"));
    expect(plain.pixels).toHaveLength(36);
    expect(await contentOf(at(path))).toEqual(plain);
  });

  it("calls images of an archive by it and by their names in it", async () => {
    const { test } = await readVtabFolder(at("vtab-1k.zip"), ["kitti"]);
    expect(test[0]?.path).toBe(`${at("vtab-1k.zip")}:vtab-1k/kitti/images/all/12.png`);
  });

  it("names tasks, lists and images that an archive lacks, and an archive that is cut off", async () => {
    await expect(readVtabFolder(at("vtab-1k.zip"), ["svhn", "dtd"])).rejects.toThrow(
      /4 lists are missing, of the tasks dtd, such as .*vtab-1k\.zip:dtd\/train800\.txt; .*--tasks svhn/,
    );
    await cp(at("plain/svhn"), at("short/svhn"), { recursive: true });
    await rm(at("short/svhn/images/all/13.png"));
    await zipped(at("short.zip"), at("short"), "vtab-1k");
    await expect(readVtabFolder(at("short.zip"), ["svhn"])).rejects.toThrow(
      /line 2 of .*short\.zip:vtab-1k\/svhn\/test\.txt names .*13\.png, which is no file/,
    );
    const bytes = await readFile(at("vtab-1k.zip"));
    await writeFile(at("cut.zip"), bytes.subarray(0, bytes.length - 200));
    await expect(readVtabFolder(at("cut.zip"), ["svhn"])).rejects.toThrow(/the directory at the end .* is missing/);
  });

  it.each([
    ["vtab-1k.zip", "dtd"],
    ["gone", "svhn"],
  ])("does not read a list that is not there as an empty one, in %s", async (path, task) => {
    await cp(at("plain"), at("gone"), { recursive: true });
    const place = (await openVtabPlaces(at(path), [task])).get(task);
    await rm(at("gone/svhn/test.txt"));
    await expect(place?.list("test")).rejects.toThrow(
      /there is no list .*svhn.test\.txt|there is no list .*dtd.test\.txt/,
    );
  });

  it("tells an image whose bytes in an archive are damaged, and reads the others", async () => {
    const { train } = await readVtabFolder(at("vtab-1k.zip"), ["svhn"]);
    const broken = train.findIndex(
      ({ encoded }) => encoded && "zipped" in encoded && encoded.zipped.method === "deflated",
    );
    const place = train[broken]?.encoded;
    if (!place || !("zipped" in place)) throw new Error("nothing is deflated");
    const bytes = await readFile(at("vtab-1k.zip"));
    bytes.fill(0xff, place.zipped.headerOffset + 60, place.zipped.headerOffset + 60 + place.zipped.storedBytes / 2);
    await writeFile(at("damaged.zip"), bytes);
    const images = (await readVtabFolder(at("damaged.zip"), ["svhn"])).train;
    const source = openVtabImages(at("damaged.zip"), images, { channels: 1, workers: 0 });
    await expect(source.load(broken)).rejects.toThrow(/damaged\.zip:vtab-1k\/svhn\/images\/all\/\d+\.png/);
    expect((await source.load(broken === 1 ? 2 : 1)).width).toBe(10);
    await source.close?.();
  });

  it("tells an image or a list of an archive whose bytes are not those of its checksum", async () => {
    const { train } = await readVtabFolder(at("vtab-1k.zip"), ["svhn"]);
    const changed = train.findIndex(
      ({ encoded }) => encoded && "zipped" in encoded && encoded.zipped.method === "stored",
    );
    const place = train[changed]?.encoded;
    if (!place || !("zipped" in place)) throw new Error("nothing is stored");
    const bytes = await readFile(at("vtab-1k.zip"));
    const { headerOffset, storedBytes } = place.zipped;
    const start = headerOffset + 30 + bytes.readUInt16LE(headerOffset + 26) + bytes.readUInt16LE(headerOffset + 28);
    const last = start + storedBytes - 1; // behind the pixels: the decoder does not look at it
    bytes.writeUInt8(bytes.readUInt8(last) ^ 1, last);
    await writeFile(at("changed.zip"), bytes);
    const source = openVtabImages(at("changed.zip"), (await readVtabFolder(at("changed.zip"), ["svhn"])).train, {
      channels: 1,
      workers: 0,
    });
    await expect(source.load(changed)).rejects.toThrow(/do not have the checksum that the archive states/);
    await source.close?.();

    const ofList = await readFile(at("vtab-1k.zip"));
    const entry = ofList.lastIndexOf("vtab-1k/svhn/val200.txt") - 46; // in the directory
    ofList.writeUInt32LE((ofList.readUInt32LE(entry + 16) ^ 1) >>> 0, entry + 16);
    await writeFile(at("list.zip"), ofList);
    await expect(readVtabFolder(at("list.zip"), ["svhn"])).rejects.toThrow(/val200\.txt" does not have the checksum/);
  });
});

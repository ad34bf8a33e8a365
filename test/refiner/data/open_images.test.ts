import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { chmod, mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { gzipSync } from "node:zlib";
import sharp from "sharp";
import { beforeEach, describe, expect, it } from "vitest";
import { DataFormatError, NoImagesError, UnreadableDataError } from "../../../refiner/data/index.ts";
import { type OpenImagesOptions, openImages } from "../../../refiner/data/index_node.ts";
import { tarEntry, tarOf } from "./tar_of.ts";

let folder = "";
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "images-"));
  return () => rm(folder, { recursive: true });
});

const png = (value: number) =>
  sharp({ create: { width: 2, height: 2, channels: 3, background: { r: value, g: 0, b: 0 } } })
    .png()
    .toBuffer();

async function write(path: string, content: Uint8Array | string): Promise<string> {
  const file = join(folder, path);
  await mkdir(dirname(file), { recursive: true });
  await writeFile(file, content);
  return file;
}

// Red value, label and class name of every image. Decodes in this thread: the threads have tests of their own.
async function content(path: string, options: OpenImagesOptions = {}): Promise<string[]> {
  const source = await openImages(path, { workers: 0, ...options });
  const listed: string[] = [];
  for (let index = 0; index < source.length; index++) {
    const label = source.label(index);
    const name = label === undefined ? "-" : (source.classNames?.[label] ?? `#${label}`);
    listed.push(`${(await source.load(index)).data[0]} ${name}`);
  }
  await source.close?.();
  return listed;
}

describe("openImages", () => {
  it("reads a folder of class folders in sorted order", async () => {
    await write("owl/1.png", await png(3));
    await write("cat/deep/2.png", await png(2));
    await write("cat/1.PNG", await png(1));
    await write("cat/notes.txt", "not an image");
    await write("cat/._1.png", "the twin that macOS leaves");
    expect(await content(folder)).toEqual(["1 cat", "2 cat", "3 owl"]);
  });

  it("reads a flat folder without labels", async () => {
    await write("b.png", await png(2));
    await write("a.png", await png(1));
    expect(await content(folder)).toEqual(["1 -", "2 -"]);
  });

  it("decodes by content where the ending is wrong", async () => {
    await write("a.jpg", await png(9));
    expect(await content(folder)).toEqual(["9 -"]);
  });

  it("follows links and does not run in circles", async () => {
    await write("cat/a.png", await png(1));
    await write("owl/b.png", await png(2));
    await symlink(folder, join(folder, "owl", "loop"));
    expect(await content(folder)).toEqual(["1 cat", "2 owl"]);
  });

  it("opens a single image", async () => {
    expect(await content(await write("query", await png(5)))).toEqual(["5 -"]);
  });

  it("reads a list with paths relative to it", async () => {
    await write("images/a.png", await png(1));
    await write("images/b.png", await png(2));
    const list = await write("lists/train.csv", "path,label\n../images/b.png,owl\n../images/a.png,cat\n");
    expect(await content(list)).toEqual(["2 owl", "1 cat"]);
  });

  it("tells lines of a list that name an image again, and refuses two classes for one", async () => {
    await write("a.png", await png(1));
    await write("b.png", await png(2));
    const twice = await write("twice.csv", "path,label\na.png,owl\nb.png,cat\n./a.png,owl\n");
    const source = await openImages(twice, { workers: 0 });
    expect([source.length, source.notices]).toEqual([
      3,
      [expect.stringMatching(/^1 line of .* again \(such as .*a\.png\)/)],
    ]);
    await source.close?.();
    for (const label of ["dog", "", "007"]) {
      const list = await write("two.csv", `path,label\na.png,7\nb.png,cat\nsub/../a.png,${label}\n`);
      await expect(content(list)).rejects.toThrow(
        /names .*a\.png twice, with the classes "7" and ("dog"|none|"007"); keep one/,
      );
    }
    const lines = await write("two.jsonl", '{"path": "a.png", "label": 7}\n{"path": "a.png", "label": 8}\n');
    await expect(content(lines)).rejects.toThrow(/with the classes "7" and "8"/);
  });

  it("reads a WebDataset shard with classes beside the images", async () => {
    const shard = tarOf({
      "s/0001.png": await png(1),
      "s/0001.cls": "7",
      "s/0002.png": await png(2),
      "s/0002.json": '{"label": 3}',
    });
    expect(await content(await write("x.tar", shard))).toEqual(["1 #7", "2 #3"]);
  });

  it("takes one image of a WebDataset sample and tells the others", async () => {
    const sample = async (key: string, level: number) => ({
      [`${key}.seg.png`]: await png(99),
      [`${key}.png`]: await png(level),
      [`${key}.json`]: '{"label": -1}',
    });
    const path = await write("x.tar", tarOf({ ...(await sample("0", 1)), ...(await sample("1", 2)) }));
    expect(await content(path)).toEqual(["1 -", "2 -"]);
    expect(await content(path, { imageKey: "seg.png" })).toEqual(["99 -", "99 -"]);
    await expect(content(path, { imageKey: "jpg" })).rejects.toThrow(/no image "jpg" but seg.png, png/);
    expect((await openImages(path, { workers: 0 })).notices?.join()).toMatch(/2 further image of a sample \(seg.png\)/);
  });

  it("keeps all images whose names have dots but no plain ending", async () => {
    const shard = tarOf({ "tour.2020.png": await png(1), "tour.2021.png": await png(2) });
    expect(await content(await write("x.tar", shard))).toEqual(["1 -", "2 -"]);
  });

  it("refuses an archive with sparse images, and counts them", async () => {
    const bytes = Buffer.concat([
      ...tarEntry("a.png", await png(1)),
      ...tarEntry("b.png", "x", "S"),
      Buffer.alloc(1024),
    ]);
    await expect(content(await write("x.tar", bytes))).rejects.toThrow(/1 images as sparse files \(such as b.png\)/);
  });

  it("refuses a class that is no name and no number", async () => {
    const path = await write("x.tar", tarOf({ "a.png": await png(1), "a.json": '{"label": [1, 2]}' }));
    await expect(content(path)).rejects.toThrow(/a.json states as its class a list/);
    const list = await write("x.jsonl", '{"path": "a.png", "label": 1}\n{"path": "b.png", "label": true}\n');
    await expect(content(list)).rejects.toThrow(/line 2 .* true; a class is one name or number/);
  });

  it("counts what it leaves out, by ending, and keeps the classes of folders with foreign pictures", async () => {
    for (const name of ["ant", "owl"]) await mkdir(join(folder, name));
    await write("ant/1.png", await png(1));
    await write("owl/2.bmp", "BM");
    await write("owl/3.BMP", "BM");
    await write("notes", "text");
    expect(await content(folder)).toEqual(["1 ant"]);
    const [line = ""] = (await openImages(folder, { workers: 0 })).notices ?? [];
    expect(line).toMatch(
      /^3 files of .* left out: 2 \.bmp \(such as owl\/.*\), 1 without an ending \(such as notes\); convert/,
    );
  });

  it("tells a folder of the parts of a data set, and images below class folders", async () => {
    for (const name of ["train/a", "test/a"]) await mkdir(join(folder, name), { recursive: true });
    await write("train/a/1.png", await png(1));
    await write("test/a/2.png", await png(2));
    expect((await openImages(folder, { workers: 0 })).notices?.join()).toMatch(/classes of .* are test and train/);
    await rm(join(folder, "test"), { recursive: true });
    await mkdir(join(folder, "train/b"));
    await write("train/b/3.png", await png(3));
    await mkdir(join(folder, "train/a/deep"));
    await write("train/a/deep/4.png", await png(4));
    expect((await openImages(folder, { workers: 0 })).notices?.join()).toMatch(
      /1 images .* within class folders .*4.png/,
    );
  });

  it("takes a single folder as a class where the class is known", async () => {
    await mkdir(join(folder, "test/owl"), { recursive: true });
    await write("test/owl/1.png", await png(1));
    expect(await content(folder)).toEqual(["1 -"]);
    expect(await content(folder, { classNames: ["ant", "owl"] })).toEqual(["1 owl"]);
  });

  it("reads two links to one folder, and a class folder that is a link", async () => {
    await mkdir(join(folder, "real"));
    await write("real/1.png", await png(1));
    await mkdir(join(folder, "train"));
    for (const name of ["ant", "owl"]) await symlink("../real", join(folder, "train", name));
    expect(await content(join(folder, "train"))).toEqual(["1 ant", "1 owl"]);
  });

  it("refuses headings that it does not know, with the known ones", async () => {
    await write("a.png", await png(1));
    for (const [text, message] of [
      ["bild,klasse\na.png,2\n", /headings bild, klasse .* not known; the column of paths is one of path, file/],
      ["file,klasse\na.png,2\n", /no heading .*file, klasse.* is that of the classes; .* label, class/],
    ] as const)
      await expect(content(await write("x.csv", text))).rejects.toThrow(message);
    expect(await content(await write("x.csv", "image_path,target\na.png,2\n"))).toEqual(["1 #2"]);
    expect(await content(await write("x.csv", "file,cls\na.png,ant\n"))).toEqual(["1 ant"]);
  });

  it("takes a CR alone for the end of a line", async () => {
    await write("1.png", await png(1));
    await write("2.png", await png(2));
    expect(await content(await write("old.csv", "1.png,cat\r2.png,dog"))).toEqual(["1 cat", "2 dog"]);
    expect(await content(await write("heads.csv", "path,label\r2.png,dog\r"))).toEqual(["2 dog"]);
  });

  it.each([
    [
      "cut.csv",
      "path,label\n1.png,cat, striped\n",
      /line 2 of .*cut.csv has 3 cells, expected 2 \(such as "striped"\)/,
    ],
    ["wide.csv", "1.png,0,cat\n", /line 1 of .* has 3 cells, expected 2.*a line of headings/],
    ["twice.csv", "path,label,label\n1.png,1,2\n", /two columns of .* have the heading label/],
    ["several.csv", 'path,label\n1.png,"[1, 2]"\n', /line 2 of .* states as its class a list \(\[1, 2\]\)/],
    [
      "keys.jsonl",
      '{"path": "1.png", "category_id": 3}\n',
      /no key of .* \(category_id\) is that of the classes, one of label/,
    ],
  ])("refuses a list whose labels would be lost or cut: %s", async (name, text, message) => {
    await write("1.png", await png(1));
    await expect(openImages(await write(name, text), { workers: 0 })).rejects.toThrow(message);
  });

  it("takes empty cells behind the class, and commas within quotes", async () => {
    await write("1.png", await png(1));
    expect(await content(await write("l.csv", '1.png,"cat, striped",,\n'))).toEqual(["1 cat, striped"]);
  });

  it("tells classes that look alike", async () => {
    for (const name of ["Owl", "owl", "caf\u00e9", "cafe\u0301"]) await mkdir(join(folder, name));
    for (const name of ["Owl", "owl", "caf\u00e9", "cafe\u0301"]) await write(`${name}/1.png`, await png(1));
    const source = await openImages(folder, { workers: 0 });
    expect(source.classNames).toHaveLength(4);
    expect(source.notices?.join()).toMatch(/look alike and are kept apart: "caf.+" and "caf.+", and 1 more pairs/);
  });

  it("tells the parts of a data set by other names, also beside other folders", async () => {
    for (const name of ["train2017", "val2017", "labels"]) {
      await mkdir(join(folder, name));
      await write(`${name}/1.png`, await png(1));
    }
    const notices = async () => (await openImages(folder, { workers: 0 })).notices?.join();
    expect(await notices()).toMatch(/classes of .* include train2017 and val2017, which look like the parts/);
    await rm(join(folder, "val2017"), { recursive: true });
    expect(await notices()).not.toMatch(/look like the parts/); // a class may be called train
  });

  it("does not wait for a pipe in the place of labels or class names", async () => {
    execFileSync("mkfifo", [join(folder, "x-labels-idx1-ubyte"), join(folder, "batches.meta.txt")]);
    const images = await write(
      "x-images-idx3-ubyte",
      Uint8Array.of(0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 11),
    );
    await expect(content(images)).rejects.toThrow(/x-labels-idx1-ubyte is a pipe/);
    await expect(content(await write("test_batch.bin", new Uint8Array(3073)))).rejects.toThrow(
      /batches.meta.txt is a pipe/,
    );
  });

  it("reads lists with semicolons, and refuses other forms with the known one", async () => {
    await write("a.png", await png(1));
    expect(await content(await write("x.csv", "path;label\na.png;ant\n"))).toEqual(["1 ant"]);
    for (const [text, message] of [
      ["a.png 0\n", /line 1 of .* separates path and class by a space; write path,label/],
      ['[{"path": "a.png"}]', /one JSON list; write an object per line/],
    ] as const)
      await expect(content(await write("x.csv", text))).rejects.toThrow(message);
  });

  it("counts archives within an archive that are not read", async () => {
    const path = await write("x.tar", tarOf({ "a.png": await png(1), "b.tar.gz": "packed", "c.zip": "packed" }));
    expect((await openImages(path, { workers: 0 })).notices?.join()).toMatch(
      /2 files of .* left out: 1 \.gz .*1 \.zip/,
    );
  });

  it("leaves pipes and sockets alone", async () => {
    await write("a.png", await png(1));
    execFileSync("mkfifo", [join(folder, "b.png")]);
    expect(await content(folder)).toEqual(["1 -"]);
    await expect(content(join(folder, "b.png"))).rejects.toThrow(/is a pipe, expected a file/);
  });

  it("tells what lies beside the shards of a folder", async () => {
    await write("s/0.tar", tarOf({ "cat/0.png": await png(1) }));
    await write("s/1.tar.gz", gzipSync(tarOf({ "dog/0.png": await png(2) })));
    await write("s/more/2.tar", tarOf({ "dog/0.png": await png(2) }));
    execFileSync("mkfifo", [join(folder, "s/3.tar")]);
    const source = await openImages(join(folder, "s"), { workers: 0 });
    expect(source.notices?.join()).toMatch(
      /3 files of .* left out: 1 .gz \(such as 1.tar.gz\), 1 pipe \(such as 3.tar\), 1 folder \(such as more\)/,
    );
    await source.close?.();
  });

  it("ends where links describe folders without number", async () => {
    for (let i = 0; i < 24; i++)
      for (const name of ["a", "b"]) {
        await mkdir(join(folder, `d${i}`), { recursive: true });
        await symlink(`../d${i + 1}`, join(folder, `d${i}`, name));
      }
    await write("d24/x.png", await png(1));
    await expect(openImages(join(folder, "d0"))).rejects.toThrow(
      /links below .* lead to the same folders more than 16384/,
    );
  });

  it("does not read what a shard calls a class but is as large as a film", async () => {
    const bytes = tarOf({ "x.json": new Uint8Array(2 ** 24 + 1), "x.png": await png(1) });
    await expect(openImages(await write("large.tar", bytes))).rejects.toThrow(/x.json has 16777217 bytes, more than/);
  });

  it("takes the last of two files of one name, and files behind the first end", async () => {
    const twice = Buffer.concat([...tarEntry("cat/0.png", await png(1)), ...tarEntry("cat/0.png", await png(7))]);
    const second = tarOf({ "/dog/0.png": await png(2) });
    const source = await openImages(await write("two.tar", Buffer.concat([twice, new Uint8Array(10_240), second])), {
      workers: 0,
    });
    expect([(await source.load(0)).data[0], (await source.load(1)).data[0], source.length]).toEqual([7, 2, 2]);
    expect(source.classNames).toEqual(["cat", "dog"]);
    expect(source.notices?.join()).toContain("1 file that a later one of its name replaces (such as cat/0.png)");
    await source.close?.();
  });

  it("takes classes over all shards of a folder", async () => {
    await write("shard-1.tar", tarOf({ "owl/b.png": await png(2) }));
    await write("shard-0.tar", tarOf({ "cat/a.png": await png(1) }));
    expect(await content(folder)).toEqual(["1 cat", "2 owl"]);
  });

  it("reads archives within an archive as class folders", async () => {
    const outer = tarOf({ "n01.tar": tarOf({ "a.png": await png(1) }), "n02.tar": tarOf({ "b.png": await png(2) }) });
    expect(await content(await write("train.tar", outer))).toEqual(["1 n01", "2 n02"]);
  });

  it("pairs IDX images with the labels beside them, compressed or not, and picks the split", async () => {
    await write(
      "train-images-idx3-ubyte.gz",
      gzipSync(Uint8Array.of(0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 1, 11, 12)),
    );
    await write("train-labels-idx1-ubyte", Uint8Array.of(0, 0, 8, 1, 0, 0, 0, 2, 5, 6));
    const test = await write(
      "t10k-images-idx3-ubyte",
      Uint8Array.of(0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 13),
    );
    await write("t10k-labels-idx1-ubyte", Uint8Array.of(0, 0, 8, 1, 0, 0, 0, 1, 7));
    expect(await content(folder)).toEqual(["11 #5", "12 #6"]);
    expect(await content(folder, { split: "test" })).toEqual(["13 #7"]);
    expect(await content(test)).toEqual(["13 #7"]);
  });

  it("reads the batches of CIFAR in order, with class names", async () => {
    await write("data_batch_2.bin", new Uint8Array(3073).fill(2));
    await write("data_batch_1.bin", new Uint8Array(3073).fill(1));
    await write("test_batch.bin", new Uint8Array(3073).fill(0));
    await write("batches.meta.txt", "plane\ncar\nbird\n");
    expect(await content(folder)).toEqual(["1 car", "2 bird"]);
    expect(await content(folder, { split: "test" })).toEqual(["0 plane"]);
  });

  it("decodes to grey where one channel is asked for", async () => {
    const source = await openImages(await write("a.png", await png(100)), { workers: 0, channels: 1 });
    // 0.299 · 100 = 29.9, rounded.
    expect([...(await source.load(0)).data]).toEqual([30, 30, 30, 30]);
  });

  it("names the file of a broken image", async () => {
    const broken = await write("cat/a.png", (await png(1)).subarray(0, 40));
    const source = await openImages(folder, { workers: 0 });
    await expect(source.load(0)).rejects.toThrow(broken);
  });

  it("says that a path does not exist", async () => {
    const opening = openImages(join(folder, "nowhere"), { workers: 0 });
    await expect(opening).rejects.toThrow(UnreadableDataError);
    await expect(opening).rejects.toThrow(/nowhere cannot be read \(ENOENT/);
  });

  it.skipIf(process.getuid?.() === 0)("says that a folder cannot be read", async () => {
    await chmod(folder, 0o000);
    await expect(openImages(folder, { workers: 0 })).rejects.toThrow(UnreadableDataError);
    await chmod(folder, 0o700);
  });

  it("says that a folder holds no image, and what it holds", async () => {
    await write("notes.txt", "hello");
    const opening = openImages(folder, { workers: 0 });
    await expect(opening).rejects.toThrow(NoImagesError);
    await expect(opening).rejects.toThrow(/its top holds 1 files, such as .*notes.txt/);
  });

  it("refuses a file of no known kind", async () => {
    const file = await write("x.h5", Uint8Array.of(0x89, 0x48, 0x44, 0x46, 0, 0, 0));
    await expect(openImages(file, { workers: 0 })).rejects.toThrow(DataFormatError);
  });

  it("advises to unpack a compressed archive", async () => {
    const file = await write("x.tar.gz", gzipSync(tarOf({ "a.png": await png(1) })));
    await expect(openImages(file, { workers: 0 })).rejects.toThrow(/unpack it first/);
  });

  it("refuses a tar archive that is cut off", async () => {
    const whole = tarOf({ "a.png": await png(1), "b.png": new Uint8Array(5000) });
    await expect(openImages(await write("x.tar", whole.subarray(0, 4000)), { workers: 0 })).rejects.toThrow(/cut off/);
  });
});

describe("Fashion-MNIST", () => {
  const fashion = "/usr/share/datasets/fashion-mnist"; // package dataset-fashion-mnist

  it.skipIf(!existsSync(fashion))(
    "is opened from the distribution's folder with ten classes of equal size",
    async () => {
      const source = await openImages(fashion, { split: "test" });
      expect([source.length, source.channels]).toEqual([10000, 1]);
      const labels = Array.from({ length: source.length }, (_, index) => source.label(index));
      for (let label = 0; label < 10; label++) expect(labels.filter((given) => given === label).length).toBe(1000);
    },
  );
});

import { gzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import {
  collectImages,
  DataFormatError,
  DataOptionError,
  type ImageSource,
  idxImages,
  imagesInMemory,
  NoImagesError,
  subset,
  withClassNames,
  withLabelsOf,
} from "../../../refiner/data/index.ts";
import { cifarImages, cifarLayout } from "../../../refiner/data/sources/cifar.ts";
import { classLabels } from "../../../refiner/data/sources/class_labels.ts";
import { folderClasses, hasImageName } from "../../../refiner/data/sources/image_names.ts";
import { parseList } from "../../../refiner/data/sources/list.ts";

const idx = (shape: number[], values: number[]) => {
  const sizes = shape.flatMap((size) => [size >>> 24, (size >>> 16) & 255, (size >>> 8) & 255, size & 255]);
  return { name: "file", bytes: Uint8Array.of(0, 0, 8, shape.length, ...sizes, ...values) };
};

async function gzip(bytes: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>> {
  const stream = new Blob([bytes]).stream().pipeThrough(new CompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

describe("idxImages", () => {
  const images = idx([2, 2, 3], [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);

  it("cuts grey images out of the array and pairs them with labels", async () => {
    const source = await idxImages(images, idx([2], [4, 9]));
    expect([source.length, source.channels, source.label(1)]).toEqual([2, 1, 9]);
    expect(await source.load(1)).toEqual({
      width: 3,
      height: 2,
      channels: 1,
      data: Uint8Array.of(7, 8, 9, 10, 11, 12),
    });
  });

  it("reads colour from a fourth dimension of 3", async () => {
    const source = await idxImages(idx([1, 1, 2, 3], [1, 2, 3, 4, 5, 6]));
    expect(await source.load(0)).toEqual({ width: 2, height: 1, channels: 3, data: Uint8Array.of(1, 2, 3, 4, 5, 6) });
  });

  it("reads a compressed file as the plain one", async () => {
    const source = await idxImages({ name: "file.gz", bytes: await gzip(images.bytes) });
    expect((await source.load(0)).data).toEqual(Uint8Array.of(1, 2, 3, 4, 5, 6));
  });

  it.each([
    ["is cut off", idx([2, 2, 3], [1, 2, 3]), undefined, /holds 3 values, its header says 2 × 2 × 3 = 12/],
    ["holds labels", idx([2], [1, 2]), undefined, /has shape 2; .* is it the file of labels/],
    ["has other labels", images, idx([3], [1, 2, 3]), /has shape 3, the images are 2/],
    ["is something else", { name: "file", bytes: Uint8Array.of(1, 2, 3) }, undefined, /does not begin as an IDX file/],
  ])("refuses a file that %s", async (_, file, labels, message) => {
    const reading = idxImages(file, labels);
    await expect(reading).rejects.toThrow(DataFormatError);
    await expect(reading).rejects.toThrow(message);
  });

  it("unpacks no more than the header declares, and files of several members whole", async () => {
    const header = Uint8Array.of(0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 2);
    const more = gzipSync(Buffer.concat([header, Buffer.alloc(1000)]));
    await expect(idxImages({ name: "x.gz", bytes: new Uint8Array(more) })).rejects.toThrow(/more than the 20 bytes/);
    const members = Buffer.concat([gzipSync(header), gzipSync(Uint8Array.of(1, 2, 3, 4))]);
    const source = await idxImages({ name: "x.gz", bytes: new Uint8Array(members) });
    expect([...(await source.load(0)).data]).toEqual([1, 2, 3, 4]);
  });

  it("refuses images without pixels", async () => {
    const bytes = Uint8Array.of(0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2);
    await expect(idxImages({ name: "x", bytes })).rejects.toThrow(/images of 0 × 2 pixels/);
  });

  it("refuses a compressed file that is cut off", async () => {
    const bytes = (await gzip(images.bytes)).slice(0, -9);
    await expect(idxImages({ name: "file.gz", bytes })).rejects.toThrow(/file.gz is cut off or damaged/);
  });
});

describe("cifarImages", () => {
  const row = (labels: number[], red: number) => {
    const planes = Array.from({ length: 3072 }, (_, at) => (at < 1024 ? red : at < 2048 ? at % 256 : 3));
    return Uint8Array.of(...labels, ...planes);
  };

  it("interleaves the planes of CIFAR-10 and takes its label", async () => {
    const bytes = Uint8Array.of(...row([3], 10), ...row([9], 20));
    const source = cifarImages([{ name: "b", bytes }], ["a", "b"]);
    const { width, height, data } = await source.load(1);
    expect([source.length, source.label(1), width, height]).toEqual([2, 9, 32, 32]);
    expect([...data.subarray(3 * 5, 3 * 6)]).toEqual([20, 5, 3]);
  });

  it("takes the fine label of CIFAR-100", () => {
    const source = cifarImages([{ name: "b", bytes: row([19, 99], 0) }]);
    expect(source.label(0)).toBe(99);
  });

  it("does not take labels out of range for CIFAR", () => {
    expect(cifarLayout(row([10], 0), 3073)).toBeUndefined();
  });

  it("refuses a file that is cut off", () => {
    expect(() => cifarImages([{ name: "b", bytes: row([1], 0).slice(1) }])).toThrow(DataFormatError);
  });
});

describe("parseList", () => {
  it.each([
    ["comma-separated lines", "a.jpg,cat\nb.jpg,dog\n"],
    ["lines with headings in another order", "label,path\r\ncat,a.jpg\r\ndog,b.jpg"],
    ["tab-separated lines", "a.jpg\tcat\nb.jpg\tdog"],
    ["JSON lines", '{"path":"a.jpg","label":"cat"}\n\n{"file":"b.jpg","class":"dog"}'],
  ])("reads %s", (_, content) => {
    expect(parseList(content, "list")).toEqual([
      { path: "a.jpg", class: "cat" },
      { path: "b.jpg", class: "dog" },
    ]);
  });

  it("reads quoted cells with separators and quotes in them", () => {
    expect(parseList('"a, ""b"".jpg",x', "list")).toEqual([{ path: 'a, "b".jpg', class: "x" }]);
  });

  it("reads paths without labels", () => {
    expect(parseList("a.jpg\nb.jpg", "list").map((image) => image.class)).toEqual([undefined, undefined]);
  });

  it("names the JSON line that cannot be read", () => {
    expect(() => parseList('{"path":"a"}\n{"path":', "my.jsonl")).toThrow(/line 2 of my.jsonl/);
  });

  it("names the line of a quote that is never closed", () => {
    expect(() => parseList('a,b\n"c,d', "my.csv")).toThrow(/opened in line 2 of my.csv/);
  });
});

describe("classLabels", () => {
  it("numbers names in sorted order", () => {
    const { labels, classNames } = classLabels(["dog", undefined, "cat", "dog"]);
    expect([...labels]).toEqual([1, -1, 0, 1]);
    expect(classNames).toEqual(["cat", "dog"]);
  });

  it("takes plain whole numbers as labels, not as names", () => {
    const { labels, classNames } = classLabels(["10", "2", "3", "-1", "", undefined]);
    expect([...labels]).toEqual([10, 2, 3, -1, -1, -1]);
    expect(classNames).toBeUndefined();
  });

  it.each([
    ["texts that only mean the same number", ["007", "7"], ["007", "7"], [0, 1]],
    ["numbers too large to count with", ["300000001", "4000000000"], ["300000001", "4000000000"], [0, 1]],
    ["numbers beside a name, in natural order", ["10", "9", "x2", "x10"], ["9", "10", "x2", "x10"], [1, 0, 2, 3]],
    ["other writings of numbers", ["3e9", "3000000000"], ["3e9", "3000000000"], [0, 1]],
  ])("numbers %s densely", (_, stated, names, expected) => {
    const { labels, classNames } = classLabels(stated);
    expect(classNames).toEqual(names);
    expect([...labels]).toEqual(expected);
  });
});

describe("folderClasses", () => {
  it.each([
    ["the first folder", ["a/1.jpg", "b/x/2.jpg"], ["a", "b"]],
    ["no class where images lie at the top", ["1.jpg", "b/2.jpg"], [undefined, undefined]],
    ["the first folder that differs", ["data/train/a/1.jpg", "data/train/b/2.jpg"], ["a", "b"]],
    ["no class for a single folder", ["a/1.jpg", "a/2.jpg"], [undefined, undefined]],
  ])("takes %s", (_, paths, classes) => {
    expect(folderClasses(paths)).toEqual(classes);
  });
});

describe("hasImageName", () => {
  it("passes over hidden twins and files without a known ending", () => {
    expect(["x/a.JPEG", "a.png", "._a.jpg", "x/.jpg", "a.txt", "jpg"].map(hasImageName)).toEqual([
      true,
      true,
      false,
      false,
      false,
      false,
    ]);
  });
});

describe("imagesInMemory", () => {
  const pixel = (channels: 1 | 3) => ({ width: 1, height: 1, channels, data: new Uint8Array(channels) }) as const;

  it("refuses no images, mixed channels, and data of another size", () => {
    expect(() => imagesInMemory([])).toThrow(NoImagesError);
    expect(() => imagesInMemory([pixel(1), pixel(3)])).toThrow(/image 1 has 3 channels where the others have 1/);
    expect(() => imagesInMemory([{ ...pixel(3), data: new Uint8Array(4) }])).toThrow(
      /has 4 values, expected 1 × 1 × 3 = 3/,
    );
  });

  it("collects a stream with its labels", async () => {
    const source = await collectImages([{ image: pixel(3), label: 2 }, pixel(3)]);
    expect([source.length, source.label(0), source.label(1)]).toEqual([2, 2, undefined]);
  });
});

describe("subset and withClassNames", () => {
  const source = imagesInMemory(
    Array.from(
      { length: 3 },
      (_, value) => ({ width: 1, height: 1, channels: 1, data: Uint8Array.of(value) }) as const,
    ),
    { labels: [0, 1, 1], classNames: ["cat", "owl"] },
  );

  it("reads the chosen images in the chosen order", async () => {
    const chosen = subset(source, [2, 0]);
    expect([chosen.length, (await chosen.load(0)).data[0], chosen.label(1)]).toEqual([2, 2, 0]);
  });

  it("refuses an index outside of the source", () => {
    expect(() => subset(source, [3])).toThrow(DataOptionError);
  });

  it("takes the labels of another data set by the texts of the classes, never by number", async () => {
    const image = { width: 1, height: 1, channels: 1, data: Uint8Array.of(0) } as const;
    const named = (labels: number[], classNames?: string[]) =>
      imagesInMemory(
        labels.map(() => image),
        { labels, ...(classNames ? { classNames } : {}) },
      );
    const labelsOf = (source: ImageSource) => Array.from({ length: source.length }, (_, i) => source.label(i));
    const train = named([0, 1, 2], ["1", "10", "cat"]);
    expect(labelsOf(withLabelsOf(named([10, 1, 2]), train))).toEqual([1, 0, undefined]);
    expect(withLabelsOf(named([10, 1, 2]), train).notices?.join()).toMatch(/1 classes have no counterpart .* 2$/);
    expect(labelsOf(withLabelsOf(named([7, 3]), named([3, 7])))).toEqual([7, 3]);
    expect(() => withLabelsOf(named([0], ["dog"]), train)).toThrow(/none of dog is among .* 1, 10, cat/);
  });

  it("counts labels in other class names and drops those of unknown classes", () => {
    const renamed = withClassNames(source, ["ant", "owl"]);
    expect([renamed.label(0), renamed.label(1)]).toEqual([undefined, 1]);
  });
});

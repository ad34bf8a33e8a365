import { describe, expect, it } from "vitest";
import {
  fewShotPlaces,
  fewShotSubset,
  holdoutPlaces,
  holdoutSplit,
  MersenneTwister,
  rowsOfList,
} from "../../../refiner/evaluation/index.ts";

/** Three classes in turn, and one image without a class. */
const images = (names: readonly string[]) => ({
  length: names.length,
  label: (index: number) => (index === 0 ? undefined : index % 3),
  name: (index: number) => names[index] ?? "",
});

describe("MersenneTwister", () => {
  it("gives the numbers of the reference implementation", () => {
    // First output of mt19937ar.c, and the 10,000th of the C++ standard, 29.5.6, for the default seed 5489.
    const random = new MersenneTwister(5489);
    const words = Array.from({ length: 10000 }, () => random.word());
    expect([words[0], words[9999]]).toEqual([3499211612, 4123659995]);
  });

  it("permutes", () => {
    const order = new MersenneTwister(7).permutation(1000);
    expect([...order].sort((a, b) => a - b)).toEqual([...Array(1000).keys()]);
    expect(order[0]).not.toBe(0);
  });

  it.each([-1, 1.5, 2 ** 32, Number.NaN])("refuses the seed %s", (seed) => {
    expect(() => new MersenneTwister(seed)).toThrow(/give a whole number of 0 … 4294967295/);
  });
});

describe("fewShotSubset", () => {
  const names = Array.from({ length: 31 }, (_, index) => `image-${index}.png`);

  it("takes a label for a name, however large the number", () => {
    const few = { length: 4, label: (index: number) => (index < 2 ? 5 : 3_000_000_000) };
    const { indices, short } = fewShotSubset(few, 3, 1);
    expect([...indices].sort()).toEqual([0, 1, 2, 3]);
    expect(short).toEqual([
      { label: 5, images: 2 },
      { label: 3_000_000_000, images: 2 },
    ]);
  });

  it("draws from files sorted by name, whatever their order", () => {
    const shuffled = [...names.keys()].sort((a, b) => ((a * 7) % 31) - ((b * 7) % 31));
    const other = {
      length: 31,
      label: (i: number) => images(names).label(shuffled[i] ?? 0),
      name: (i: number) => names[shuffled[i] ?? 0] ?? "",
    };
    const drawn = [...fewShotSubset(images(names), 2, 5).indices].map((index) => names[index]);
    expect([...fewShotSubset(other, 2, 5).indices].map((index) => names[shuffled[index] ?? 0])).toEqual(drawn);
    const sorted = [0, 1, 2].map((label) => names.filter((_, index) => images(names).label(index) === label).sort());
    const places = fewShotPlaces([10, 10, 10], 2, 5);
    expect(drawn).toEqual(places.flatMap((of, label) => Array.from(of, (place) => sorted[label]?.[place])));
  });

  it("nests subsets of the same split", () => {
    const one = fewShotSubset(images(names), 1, 3).indices;
    const five = new Set(fewShotSubset(images(names), 5, 3).indices);
    expect([...one].every((index) => five.has(index))).toBe(true);
    expect(five.has(0)).toBe(false); // has no class
  });

  it("takes all images of a class that has fewer, and says which", () => {
    const { indices, short } = fewShotSubset({ length: 4, label: (index) => (index === 3 ? 2 : 0) }, 2, 1);
    expect([...indices].sort((a, b) => a - b).at(-1)).toBe(3);
    expect(indices.length).toBe(3);
    expect(short).toEqual([{ label: 2, images: 1 }]);
  });

  it("refuses images without labels, and no shots", () => {
    expect(() => fewShotSubset({ length: 2, label: () => undefined }, 1, 1)).toThrow(/no image has a label/);
    expect(() => fewShotPlaces([3], 0, 1)).toThrow(/0 images per class/);
  });
});

describe("holdoutSplit", () => {
  it("divides all labelled images into training and test", () => {
    const names = Array.from({ length: 31 }, (_, index) => String(index));
    const { train, test } = holdoutSplit(images(names), { share: 0.8 });
    expect([...train, ...test].sort((a, b) => a - b)).toEqual(Array.from({ length: 30 }, (_, at) => at + 1));
    expect(train.length).toBe(24);
  });

  it.each([{ share: 0 }, { share: 1 }, { perClass: 0 }])("refuses %o", (size) => {
    expect(() => holdoutPlaces([5], size)).toThrow(/holdout|few-shot/);
  });
});

describe("rowsOfList", () => {
  const files = ["a/x_1.png", "a/x_2.png", "b/y_1.png", "b/x_1.png", "C:\\data\\z.png"];
  const images = { length: files.length, name: (index: number) => files[index] ?? "" };

  it("finds images by the end of their path, in the order of the list", () => {
    expect([...rowsOfList(images, "y_1.png\nb/x_1.png\n./a/x_2.png\ndata/z.png\n", "list")]).toEqual([2, 3, 1, 4]);
  });

  it.each([
    ["an image that there is not", "x_3.png", /x_3\.png is none of the images/],
    ["the end of a name that is no part of the path", "_2.png", /_2\.png is none of the images/],
    ["a name that several have", "x_1.png", /x_1\.png is the name of several images/],
    ["an image twice", "x_2.png\na/x_2.png", /a\/x_2\.png stands there twice/],
    ["nothing", "\n", /the list names no image/],
  ])("refuses %s", (_, text, message) => {
    expect(() => rowsOfList(images, text, "list")).toThrow(message);
  });
});

import { expect, it } from "vitest";
import { placedAs, rightFormsOf } from "../../../cli/evaluation/right_forms.ts";
import type { ImageSource } from "../../../refiner/data/index.ts";
import type { TestPredictions } from "../../../refiner/evaluation/index.ts";

function images(...names: readonly string[]): ImageSource {
  const load = () => Promise.reject(new Error("no image is needed"));
  return { length: names.length, channels: 1, label: () => 0, name: (i) => names[i] ?? "", load };
}

const plain = images("/test/cat/2.png", "/test/cat/10.png");
const clean: TestPredictions = {
  indices: Uint32Array.of(0, 1),
  labels: [0, 0],
  predicted: [0, 1],
  classNames: ["cat", "dog"],
};
const paired = (...names: readonly string[]) => rightFormsOf(clean, [placedAs(plain, images(...names), clean)]);

it("pairs forms with the images whose names they have", () => {
  expect(paired("/fog/1/cat/2.png", "/fog/1/cat/10.png")).toEqual(Float64Array.of(1, 0));
});

it("pairs forms that stand in another order", () => {
  expect(paired("/fog/1/cat/10.png", "/fog/1/cat/2.png")).toEqual(Float64Array.of(0, 1));
  expect(paired("\\fog\\1\\cat\\10.png", "\\fog\\1\\cat\\2.png")).toEqual(Float64Array.of(0, 1));
});

it("does not pair two forms with one image", () => {
  expect(paired("/fog/1/cat/2.png", "/fog/1/more/cat/2.png")).toBeUndefined();
});

it("takes forms of other names to stand as the images do", () => {
  expect(paired("fog.npy, image 0", "fog.npy, image 1")).toEqual(Float64Array.of(1, 0));
});

it("takes forms whose name several images have to stand as the images do", () => {
  const names = (folder: string) => ["cat", "dog"].map((name) => `/${folder}/${name}/photos/1.png`);
  const placed = placedAs(images(...names("test")), images(...names("fog/1")), clean);
  expect(rightFormsOf(clean, [placed])).toEqual(Float64Array.of(1, 0));
});

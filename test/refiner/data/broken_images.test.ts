import { expect, it } from "vitest";
import { BrokenImageError, BrokenImages, TooManyBrokenImagesError } from "../../../refiner/data/index.ts";

const broken = (index: number) => new BrokenImageError(`${index}.jpg`, "cut off");

it("accepts one broken image of few, unless none is accepted", () => {
  const few = new BrokenImages(37, { maxBad: 0.01 });
  few.add(5, broken(5));
  expect(() => few.add(6, broken(6))).toThrow("2 of 37 images are broken, more than the accepted 1 %");
  expect(() => new BrokenImages(37, { maxBad: 0 }).add(5, broken(5))).toThrow(TooManyBrokenImagesError);
});

it("accepts exactly a share that binary numbers do not hold", () => {
  const images = new BrokenImages(100, { maxBad: 0.29 });
  for (let index = 0; index < 29; index++) images.add(index, broken(index));
  expect(() => images.add(29, broken(29))).toThrow("accepted 29 %");
});

it("looks on for all broken images where it is told to, and names them at the end", () => {
  const images = new BrokenImages(40, { maxBad: 0.01, lookOn: true });
  for (let index = 0; index < 7; index++) images.add(index, broken(index));
  expect(images.areTooMany).toBe(true);
  expect(() => images.check()).toThrow("7 of 40 images are broken");
  const hopeless = new BrokenImages(1e6, { maxBad: 0, lookOn: true });
  const add = () => {
    for (let index = 0; index < 1e6; index++) hopeless.add(index, broken(index));
  };
  expect(add).toThrow("1000 of 1000000 images are broken");
});

it("counts the images of a part among those of the whole", () => {
  const found: number[] = [];
  const images = new BrokenImages(20, { maxBad: 0.1, onBroken: (_, index) => found.push(index) });
  const part = images.part(10);
  images.add(3, broken(3));
  part.add(3, broken(13));
  part.add(3, broken(13));
  expect([found, part.has(3), images.has(13), part.has(4), images.count]).toEqual([[3, 13], true, true, false, 2]);
  expect(() => part.add(5, broken(15))).toThrow("3 of 20 images are broken");
});

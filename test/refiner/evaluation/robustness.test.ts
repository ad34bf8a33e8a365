import { describe, expect, it } from "vitest";
import {
  accuracyOnClasses,
  corruptionMean,
  corruptionSeverities,
  imageNetAClasses,
  imageNetCorruptions,
  imageNetRClasses,
} from "../../../refiner/evaluation/index.ts";

describe("accuracyOnClasses", () => {
  const logits = { rows: 3, columns: 4, data: Float32Array.of(9, 1, 2, 0, 9, 3, 2, 0, 9, 1, 1, 0) };

  it("lets only the listed classes win, the first of equals", () => {
    expect(accuracyOnClasses(logits, [1, 1, 0], [1, 2])).toEqual({
      accuracy: 2 / 3,
      predicted: Int32Array.of(1, 0, 0),
    });
  });

  it("leaves rows without a label out", () => {
    expect(accuracyOnClasses(logits, [1, -1, 0], [1, 2]).accuracy).toBe(1);
  });

  it.each([
    ["a class that the classifier lacks", [0, 4], [0, 0, 0], /class 4 is not one of the classifier's/],
    ["a class listed twice", [1, 1], [0, 0, 0], /class 1 is listed twice/],
    ["an empty list", [], [0, 0, 0], /list of classes is empty/],
    ["a label beyond the list", [0, 1], [0, 2, 0], /label 2 of row 1 for a list of 2 classes/],
    ["too few labels", [0, 1], [0, 1], /2 labels for 3 rows/],
  ])("refuses %s", (_, classes, labels, message) => {
    expect(() => accuracyOnClasses(logits, labels, classes)).toThrow(message);
  });

  it("refuses logits that are not finite", () => {
    const damaged = { rows: 1, columns: 2, data: Float32Array.of(0, Number.NaN) };
    expect(() => accuracyOnClasses(damaged, [0], [0, 1])).toThrow(/row 0 of the logits holds NaN/);
  });
});

describe("the published class lists", () => {
  it.each([
    ["ImageNet-A", imageNetAClasses],
    ["ImageNet-R", imageNetRClasses],
  ])("of %s name 200 different classes in ascending order", (_, classes) => {
    expect(classes.length).toBe(200);
    expect(classes.every((label, at) => label > (classes[at - 1] ?? -1) && label < 1000)).toBe(true);
  });
});

describe("corruptionMean", () => {
  const all = imageNetCorruptions.flatMap((corruption, row) =>
    corruptionSeverities.map((severity) => ({ corruption, severity, accuracy: row / 100 + severity / 1000 })),
  );

  it("is the plain mean of all accuracies", () => {
    const { accuracy, perCorruption, isComplete } = corruptionMean(all);
    expect(accuracy).toBeCloseTo(0.09 + 0.003, 12);
    expect(perCorruption[2]?.accuracy).toBeCloseTo(0.023, 12);
    expect(isComplete).toBe(true);
  });

  it("says where corruptions are missing", () => {
    expect(corruptionMean(all.slice(1)).isComplete).toBe(false);
    expect(corruptionMean([...all, { corruption: "mist", severity: 1, accuracy: 1 }]).isComplete).toBe(false);
  });

  it("refuses a table without entries, with one twice, or with an accuracy that is no number", () => {
    expect(() => corruptionMean([])).toThrow(/there are no accuracies/);
    expect(() => corruptionMean([...all, ...all.slice(0, 1)])).toThrow(/severity 1 stands there twice/);
    expect(() => corruptionMean([{ corruption: "fog", severity: 1, accuracy: Number.NaN }])).toThrow(
      /has the accuracy NaN/,
    );
  });
});

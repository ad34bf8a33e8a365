import { describe, expect, it } from "vitest";
import { openCheckpoint } from "../../../engine/files/index.ts";
import { checkFixtures } from "../../../refiner/conformance/index.ts";
import { testDevice } from "../../device.ts";
import { fixtureFolder } from "../../fixtures.ts";

const device = await testDevice();
const folder = fixtureFolder();

/** Tensors that a case is computed from. */
const inputs = /^(train_|test_)[xy]$|^(x|y|centroids)$|^logreg\/(train|test)_[xy]$/;

describe.each(["knn", "metrics"])("the golden case %s", (name) => {
  it("compares every stored result within its bound", async () => {
    const { rows } = await checkFixtures(device, folder, { only: [name] });
    const compared = new Set(rows.map(({ tensor }) => tensor));
    const file = await openCheckpoint(await folder.open(`${name}.safetensors`));
    const stored = [...file.tensors.keys()].filter((tensor) => !inputs.test(tensor));
    await file.close();
    expect(stored.filter((tensor) => !compared.has(tensor))).toEqual([]);
    const json: unknown = JSON.parse(await folder.text(`${name}.json`));
    const scalars = leaves(json).filter((path) => /^(results|clustering|logistic_regression)\./.test(path));
    const parameters = /\.(name|k|tau|batch_normalize|l2|fit_intercept)$/;
    expect(scalars.filter((path) => !parameters.test(path) && !compared.has(path))).toEqual([]);
    expect(rows.filter(({ pass }) => !pass)).toEqual([]);
    expect(rows.every((row) => !/predict|assignment|contingency|hungarian/.test(row.tensor) || row.bound === 0)).toBe(
      true,
    );
  });
});

describe.each(["few-shot-subsets", "logreg-lowshot", "clustering-more", "robustness"])("the golden case %s", (name) => {
  it("compares every stored result within its bound", async () => {
    const { rows, cases, stopped } = await checkFixtures(device, folder, { only: [name] });
    expect(stopped).toEqual([]);
    expect(cases.map(({ notCompared }) => notCompared)).toEqual([[]]);
    expect(rows.filter(({ pass }) => !pass)).toEqual([]);
    expect(
      rows.every((row) => !/predictions?$|labels$|chosen|columns$|contingency$/.test(row.tensor) || row.bound === 0),
    ).toBe(true);
  });
});

function leaves(value: unknown, path = ""): string[] {
  if (typeof value !== "object" || value === null) return [path];
  return Object.entries(value).flatMap(([key, child]) => leaves(child, path === "" ? key : `${path}.${key}`));
}

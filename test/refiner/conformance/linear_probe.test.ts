import { describe, expect, it } from "vitest";
import { openCheckpoint } from "../../../engine/files/index.ts";
import { checkFixtures } from "../../../refiner/conformance/index.ts";
import { testDevice } from "../../device.ts";
import { fixtureFolder } from "../../fixtures.ts";

const device = await testDevice();
const folder = fixtureFolder();

describe("the golden case linear-probe", () => {
  it("compares every stored result within its bound", { timeout: 240_000 }, async () => {
    const { rows, cases, stopped } = await checkFixtures(device, folder, { only: ["linear-probe"] });
    expect(stopped).toEqual([]);
    expect(rows.filter(({ pass }) => !pass)).toEqual([]);
    expect(cases[0]?.notCompared).toEqual([]);
    const file = await openCheckpoint(await folder.open("linear-probe.safetensors"));
    const results = [...file.tensors.keys()].filter((name) => !/^(train|test|initial)\/|^order$/.test(name));
    await file.close();
    const compared = new Set(rows.map(({ tensor }) => tensor));
    expect(results.filter((name) => !compared.has(name))).toEqual([]);
    // 52 heads: weight, bias and logits; 4 features; losses; two heads' gradients.
    expect(results).toHaveLength(52 * 3 + 4 * 3 + 1 + 4);
  });
});

describe("the golden case finetune-schedule", () => {
  it("gives the rates of linear probes to 1e-12", { timeout: 60_000 }, async () => {
    const { rows } = await checkFixtures(device, folder, { only: ["finetune-schedule"] });
    const probes = rows.filter(({ tensor }) => tensor.startsWith("probe_percent"));
    expect(probes).toHaveLength(6);
    expect(probes.filter(({ pass, bound }) => !pass || bound > 1e-12)).toEqual([]);
  });
});

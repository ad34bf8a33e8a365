import { describe, expect, it } from "vitest";
import { checkFixtures, goldenCases } from "../../../refiner/golden/index.ts";
import { testDevice } from "../../device.ts";
import { fixtureFolder } from "../../fixtures.ts";

const device = await testDevice();

describe.each(goldenCases)("%s", (name) => {
  it("equals the authors' numbers within the bounds", { timeout: 300_000 }, async () => {
    const { rows } = await checkFixtures(device, fixtureFolder(), [name]);
    const failed = rows
      .filter((row) => !row.pass)
      .map((row) => `${row.tensor}: ${row.maxError.toExponential(2)} > ${row.bound}`);
    expect(failed).toEqual([]);
    expect(rows.length).toBeGreaterThan(0);
  });
});

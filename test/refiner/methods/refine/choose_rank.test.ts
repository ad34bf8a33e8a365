import fc from "fast-check";
import { expect, it } from "vitest";
import { hostUniform, recordProgram } from "../../../../engine/index.ts";
import { chooseRanks } from "../../../../refiner/methods/refine/choose_rank.ts";
import { testDevice } from "../../../device.ts";

const device = await testDevice();

/** Ranks of every head in one update. */
async function ranksOf(rows: number, k: number, seed: number, purposes: readonly string[], update: number) {
  const recorded = recordProgram(device, (program) => {
    const step = program.input("update", [1], "u32");
    return Object.fromEntries(chooseRanks(program, rows, { k, seed, purposes, step }).map((x, i) => [`head${i}`, x]));
  });
  const names = purposes.map((_, i) => `head${i}`);
  const values = await (await recorded.run({ update: Uint32Array.of(update) }, names)).read();
  recorded.destroy();
  return names.map((name) => Array.from(values[name] ?? []));
}

it("gives every head the ranks that its own uniform numbers choose", { timeout: 120_000 }, async () => {
  const drawn = fc.record({
    rows: fc.constantFrom(1, 3, 64, 65, 130),
    k: fc.constantFrom(1, 2, 20, 256),
    seed: fc.nat(),
    update: fc.nat(),
    purposes: fc.constantFrom(["neighbour cls"], ["neighbour cls8", "neighbour cls9", "neighbour cls"]),
  });
  await fc.assert(
    fc.asyncProperty(drawn, async ({ rows, k, seed, update, purposes }) => {
      const expected = purposes.map((purpose) =>
        Array.from(hostUniform(rows, { seed, purpose, step: update }), (u) => Math.floor(Math.fround(u * k))),
      );
      const ranks = await ranksOf(rows, k, seed, purposes, update);
      expect(ranks).toEqual(expected.map((list) => list.map((rank) => Math.min(rank, k - 1))));
    }),
    { numRuns: 15 },
  );
});

it("spreads the choices evenly over the ranks and never reaches k", async () => {
  const [ranks = []] = await ranksOf(20_000, 20, 1, ["neighbour cls"], 0);
  const counts = new Array<number>(20).fill(0);
  for (const rank of ranks) counts[rank] = (counts[rank] ?? 0) + 1;
  expect(counts.length).toBe(20); // a rank of 20 would have added an entry
  // Six deviations of a binomial count around 1000.
  const slack = 6 * Math.sqrt(20_000 * 0.05 * 0.95);
  for (const count of counts) expect(Math.abs(count - 1000)).toBeLessThan(slack);
});

import { describe, expect, it } from "vitest";
import { hostNormal, hostUniform } from "../../../../engine/index.ts";
import { probeGrid } from "../../../../refiner/evaluation/index.ts";
import { ProbeHeads } from "../../../../refiner/evaluation/probes/probe_heads.ts";
import { testDevice } from "../../../device.ts";

const device = await testDevice();
const vit = { width: 12, classTokens: 1, blocks: 5 };
const [batch, classes] = [10, 3];

/** Trains a grid on the same numbers and gives its heads. */
async function trained(rates: readonly number[], updates = 6) {
  const grid = probeGrid(vit, { rates });
  const heads = new ProbeHeads(device, grid, classes);
  heads.initialise(3);
  // Start values of the first rate for all: those of a grid of one rate.
  for (const feature of grid.features.keys()) {
    const layer = heads.layer(feature);
    if (!layer) continue;
    const one = hostNormal(layer.weight.size / rates.length, { seed: 1, purpose: `feature ${feature}` });
    device.write(
      layer.weight,
      Float32Array.from({ length: layer.weight.size }, (_, i) => 0.01 * (one[i % one.length] ?? 0)),
    );
  }
  const step = heads.recordUpdate(batch);
  for (let update = 0; update < updates; update++) {
    const rows = [...grid.sources].map(([source, width]): [string, Float32Array] => [
      source,
      hostNormal(batch * width, { seed: update, purpose: source }),
    ]);
    const labels = hostUniform(batch, { seed: update, purpose: "labels" });
    await step.run({
      ...Object.fromEntries(rows),
      targets: Uint32Array.from({ length: batch * rates.length }, (_, i) =>
        Math.floor(classes * (labels[Math.floor(i / rates.length)] ?? 0)),
      ),
      rates: Float32Array.from(rates),
    });
  }
  const found = await Promise.all(grid.heads.map(async (head) => ({ head, values: await heads.trained(head) })));
  const counts = { dispatches: step.stats.dispatches, grid };
  step.destroy();
  heads.destroy();
  return { found, counts };
}

describe("a grid of heads", () => {
  it("trains each head as if it were alone", { timeout: 120_000 }, async () => {
    const rates = [0.01, 0.1, 1];
    const together = await trained(rates);
    for (const [place, rate] of rates.entries()) {
      const alone = await trained([rate]);
      for (const { head, values } of alone.found) {
        const same = together.found.find((one) => one.head.feature === head.feature && one.head.rate === place);
        // Six updates of sums over 10 rows; the product may add up in another order.
        for (const what of ["weight", "bias"] as const)
          for (const [i, value] of values[what].entries()) expect(same?.values[what][i]).toBeCloseTo(value, 4);
        expect(same?.values.mean).toEqual(values.mean);
      }
    }
  });

  it("is not touched by a head that diverges", { timeout: 120_000 }, async () => {
    const [healthy, mixed] = [await trained([0.1, 0.2]), await trained([0.1, 3e38])];
    const finite = (values: Float32Array) => values.every(Number.isFinite);
    const ofRate = (found: typeof mixed.found, rate: number) => found.filter(({ head }) => head.rate === rate);
    expect(ofRate(mixed.found, 1).some(({ values }) => !finite(values.weight))).toBe(true);
    for (const [i, { values }] of ofRate(mixed.found, 0).entries())
      expect(values.weight).toEqual(ofRate(healthy.found, 0)[i]?.values.weight);
  });
});

it("starts with normal weights of deviation 0.01, biases of 0, and others for every seed and feature", async () => {
  const grid = probeGrid({ ...vit, width: 400 }, { rates: [0.1, 0.2] });
  const heads = new ProbeHeads(device, grid, classes);
  const weights = async (seed: number, feature: number) => {
    heads.initialise(seed);
    return Float64Array.from((await heads.layer(feature)?.weight.read()) ?? []);
  };
  const first = await weights(1, 0);
  const mean = first.reduce((sum, value) => sum + value, 0) / first.length;
  const deviation = Math.sqrt(first.reduce((sum, value) => sum + (value - mean) ** 2, 0) / first.length);
  expect(first).toHaveLength(2 * classes * 400);
  expect(Math.abs(mean)).toBeLessThan((5 * 0.01) / Math.sqrt(first.length)); // five standard errors
  expect(Math.abs(deviation / 0.01 - 1)).toBeLessThan(5 / Math.sqrt(2 * first.length));
  expect([...((await heads.layer(0)?.bias.read()) ?? [1])].every((value) => value === 0)).toBe(true);
  expect(await weights(1, 0)).toEqual(first);
  expect(await weights(2, 0)).not.toEqual(first);
  expect((await weights(1, 1)).slice(0, first.length)).not.toEqual(first);
  heads.destroy();
});

describe("an update of a probe", () => {
  it("takes the same launches and one submit for 1, 4 and 13 rates", async () => {
    const counted: { heads: number; dispatches: number; submits: number }[] = [];
    for (const count of [1, 4, 13]) {
      const grid = probeGrid(vit, { rates: Array.from({ length: count }, (_, i) => 0.01 * (i + 1)) });
      const heads = new ProbeHeads(device, grid, classes);
      const step = heads.recordUpdate(batch);
      const inputs = {
        ...Object.fromEntries([...grid.sources].map(([source, width]) => [source, new Float32Array(batch * width)])),
        targets: new Uint32Array(batch * count),
        rates: new Float32Array(count),
      };
      await (await step.run(inputs, ["losses 0"])).read();
      const before = device.counters.submits;
      await (await step.run(inputs, ["losses 0"])).read();
      const submits = device.counters.submits - before;
      const { dispatches } = step.stats;
      step.destroy();
      heads.destroy();
      counted.push({ heads: grid.heads.length, dispatches, submits });
    }
    expect(counted.map(({ heads }) => heads)).toEqual([4, 16, 52]);
    expect(new Set(counted.map(({ dispatches }) => dispatches)).size).toBe(1);
    expect(counted.map(({ submits }) => submits)).toEqual([1, 1, 1]);
  });
});

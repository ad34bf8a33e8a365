import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { OptionError, ShapeError } from "../../../../engine/index.ts";
import { checkGradient, checkOperation, randomSource, toleranceOf } from "../../../../engine/testing/index.ts";
import { contrastiveLoss, type ViewLayout } from "../../../../refiner/methods/refine/contrastive_loss.ts";
import { headMetricNames } from "../../../../refiner/methods/refine/contrastive_summary.ts";
import { testDevice } from "../../../device.ts";
import { operand } from "../../../operand.ts";
import { contrastiveReference } from "../../../reference/contrastive_loss.ts";

const device = await testDevice();

interface Case extends ViewLayout {
  readonly columns: number;
  readonly temperature: number;
  readonly seed: number;
}

/** Batches of one, odd ones, and both sides of a workgroup's 32 lanes; several counts of views. */
const cases: fc.Arbitrary<Case> = fc
  .record({
    batch: fc.constantFrom(1, 2, 3, 7, 31, 32, 33),
    globalViews: fc.constantFrom(1, 2, 3),
    localViews: fc.constantFrom(0, 1, 2, 5),
    localIndexing: fc.constantFrom<ViewLayout["localIndexing"]>("stated", "published"),
    columns: fc.constantFrom(4, 8, 20, 36),
    temperature: fc.constantFrom(0.07, 0.2, 1),
    seed: fc.integer({ min: 1, max: 2 ** 31 }),
  })
  .filter(({ globalViews, localViews }) => globalViews + localViews > 1);

const lossNames = ["total", "globalLoss", "globalAlignment", "localLoss", "localAlignment"] as const;

/** Rows of unit length. */
function unitRows(seed: number, rows: number, columns: number): Float32Array {
  const random = randomSource(seed);
  const values = Float32Array.from({ length: rows * columns }, () => 2 * random() - 1);
  for (let row = 0; row < rows; row++) {
    const part = values.subarray(row * columns, (row + 1) * columns);
    const length = Math.hypot(...part);
    part.forEach((value, c) => {
      part[c] = value / length;
    });
  }
  return values;
}

/** Rows of lengths from 1/4 to 4. */
function scaledRows(seed: number, rows: number, columns: number): Float32Array {
  const values = unitRows(seed, rows, columns);
  return values.map((value, i) => value * 2 ** ((Math.floor(i / columns) % 5) - 2));
}

/** The same at unit length, in float64. */
function normalized(values: Float64Array, columns: number): Float64Array {
  return values.map((value, i) => {
    const first = i - (i % columns);
    return value / Math.hypot(...values.subarray(first, first + columns));
  });
}

function operandsOf({ batch, globalViews, localViews, columns, seed }: Case) {
  const anchors = globalViews * batch;
  const all = (globalViews + localViews) * batch;
  return {
    anchors: { data: unitRows(seed, anchors, columns), shape: [anchors, columns] },
    positives: { data: unitRows(seed + 1, anchors, columns), shape: [anchors, columns] },
    predictions: { data: scaledRows(seed + 2, all, columns), shape: [all, columns] },
  };
}

describe("contrastiveLoss", () => {
  it("equals the loss written out pair by pair in float64", { timeout: 120_000 }, async () => {
    await checkOperation<Case>(device, {
      cases,
      operands: operandsOf,
      run: (x, drawn) => ({
        summary: contrastiveLoss(operand(x, "anchors"), operand(x, "positives"), operand(x, "predictions"), drawn)
          .metrics,
      }),
      reference: ({ anchors = [], positives = [], predictions = [] }, drawn) => {
        const unit = normalized(Float64Array.from(predictions), drawn.columns);
        const expected = contrastiveReference(anchors, positives, unit, drawn.columns, drawn, drawn.temperature);
        return { summary: [...lossNames.map((name) => expected[name]), 0, 0, 0] }; // no neighbours
      },
      // Similarities of unit rows err by a round-off per column, divided by the temperature, and so do the predictions' lengths;
      // then exp, sum, log and means.
      bound: ({ columns, temperature }) => toleranceOf((columns + 4) / temperature + 16),
      floor: 1,
      runs: 40,
    });
  });

  it("has the gradient of central differences", { timeout: 120_000 }, async () => {
    await checkGradient<Case>(device, {
      cases,
      operands: operandsOf,
      wrt: ["predictions"],
      run: (x, drawn) =>
        contrastiveLoss(operand(x, "anchors"), operand(x, "positives"), operand(x, "predictions"), drawn).loss,
      reference: ({ anchors = [], positives = [], predictions = [] }, drawn) => [
        contrastiveReference(
          anchors,
          positives,
          normalized(Float64Array.from(predictions), drawn.columns),
          drawn.columns,
          drawn,
          drawn.temperature,
        ).total,
      ],
      runs: 20,
    });
  });

  it("is zero with a gradient of zero for a batch of one, which has no negatives", async () => {
    const layout: ViewLayout = { batch: 1, globalViews: 2, localViews: 1, localIndexing: "stated" };
    const rows = (seed: number, count: number) => device.tensor(unitRows(seed, count, 4), [count, 4]);
    const predictions = rows(3, 3);
    const { loss, metrics } = contrastiveLoss(rows(1, 2), rows(2, 2), predictions, { ...layout, temperature: 0.2 });
    const [gradient] = loss.program.gradients(loss, [predictions]);
    expect(Array.from((await gradient?.read()) ?? [1])).toEqual(new Array(12).fill(0));
    expect(Array.from(await metrics.read())).toEqual([0, 0, 1, 0, 1, 0, 0, 0]);
  });

  it("lets local terms start at the first local view, or as published at view 0", async () => {
    const layout = { batch: 3, globalViews: 2, localViews: 2 };
    const [anchors, positives, predictions] = [unitRows(1, 6, 4), unitRows(2, 6, 4), unitRows(3, 12, 4)];
    const localLoss = async (localIndexing: ViewLayout["localIndexing"]): Promise<number> => {
      const tensors = [anchors, positives, predictions].map((data) => device.tensor(data, [data.length / 4, 4]));
      const [a, b, p] = tensors;
      if (!a || !b || !p) throw new Error("no operands");
      const values = await contrastiveLoss(a, b, p, { ...layout, localIndexing, temperature: 0.2 }).metrics.read();
      return values[headMetricNames.indexOf("localLoss")] ?? Number.NaN;
    };
    const pairs = (views: readonly number[]) => {
      const terms = views.map((j) => {
        const own = predictions.subarray(j * 12, (j + 1) * 12);
        const single = { batch: 3, globalViews: 2, localViews: 1, localIndexing: "stated" } as const;
        const all = Float32Array.from([...predictions.subarray(0, 24), ...own]);
        return contrastiveReference(anchors, positives, all, 4, single, 0.2).localLoss;
      });
      return terms.reduce((sum, term) => sum + term, 0) / terms.length;
    };
    expect(await localLoss("stated")).toBeCloseTo(pairs([2, 3]), 5);
    expect(await localLoss("published")).toBeCloseTo(pairs([0, 1]), 5);
  });

  it("names what does not fit", () => {
    const rows = (count: number) => device.zeros([count, 4]);
    const layout: ViewLayout = { batch: 2, globalViews: 2, localViews: 0, localIndexing: "stated" };
    expect(() => contrastiveLoss(rows(3), rows(3), rows(4), { ...layout, temperature: 0.2 })).toThrow(ShapeError);
    expect(() => contrastiveLoss(rows(4), rows(4), rows(6), { ...layout, temperature: 0.2 })).toThrow(/predictions/);
    expect(() => contrastiveLoss(rows(4), rows(4), rows(4), { ...layout, temperature: 0 })).toThrow(OptionError);
    const single = { ...layout, globalViews: 1 };
    expect(() => contrastiveLoss(rows(2), rows(2), rows(2), { ...single, temperature: 0.2 })).toThrow(
      /use two global views/,
    );
  });
});

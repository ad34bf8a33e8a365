import type { ProbeHead } from "../../evaluation/probes/probe_grid.ts";
import type { ProbeRows } from "../../evaluation/probes/probe_rows.ts";
import { correctPerHead } from "../../evaluation/probes/probe_scores.ts";
import { bounds, compareAbsolute, type Probe, storedName } from "./probe_case.ts";

/** A prediction counts as a tie where its two largest logits are that close: two errors of `bounds.logits` would not explain more. */
const tie = 1e-4;

/** What all heads got right after an epoch, and how near each came to a tie. */
export interface EpochScores {
  readonly correct: readonly number[];
  readonly margins: readonly number[];
}

/** Asks all heads about the test images. */
export async function scoresOf(probe: Probe, test: ProbeRows, isLast: boolean): Promise<EpochScores> {
  const { golden, grid, heads, classes } = probe;
  const program = heads.recordPredictions(test.length, { logits: true });
  const names = Object.keys(program.outputs);
  const all = Uint32Array.from({ length: test.length }, (_, i) => i);
  const values = await (await program.run(Object.fromEntries(await test.gather(all)), names)).read();
  program.destroy();
  const predicted = grid.features.map((_, i) => values[`classes ${i}`] ?? []);
  const labels = await golden.integers("test/labels");
  const logitsOf = (head: ProbeHead): number[] => {
    const logits = values[`logits ${head.feature}`] ?? [];
    return Array.from({ length: test.length * classes }, (_, i) => {
      const row = Math.floor(i / classes) * grid.rates.length + head.rate;
      return Number(logits[row * classes + (i % classes)]);
    });
  };
  if (isLast)
    for (const head of grid.heads)
      await compareAbsolute(golden, `test_logits/${storedName(grid, head)}`, logitsOf(head), bounds.logits);
  return {
    correct: correctPerHead(predicted, labels, grid.rates.length),
    margins: grid.heads.map((head) => smallestMargin(logitsOf(head), classes)),
  };
}

/** Least difference of the two largest logits over the rows. */
function smallestMargin(logits: readonly number[], classes: number): number {
  let least = Number.POSITIVE_INFINITY;
  for (let first = 0; first < logits.length; first += classes) {
    const [best = 0, second = 0] = logits.slice(first, first + classes).sort((a, b) => b - a);
    least = Math.min(least, best - second);
  }
  return least;
}

/** What is right per epoch and head, and the best. One more or less is no error where a head came within 1e-4 of a tie. */
export function compareScores({ golden, grid }: Probe, found: readonly EpochScores[]): void {
  const { json } = golden;
  const images = golden.shape("test/labels")[0] ?? 1;
  found.forEach(({ correct, margins }, epoch) => {
    const stored = json.get("correct", epoch);
    const expected = stored.numbers();
    const excess = expected.map((count, i) => Math.abs(count - (correct[i] ?? 0)) - ((margins[i] ?? 0) < tie ? 1 : 0));
    golden.addError(stored.path, Math.max(0, ...excess), 0);
    const shares = json.get("accuracy", epoch);
    const differences = shares.numbers().map((share, i) => Math.abs(share - (expected[i] ?? 0) / images));
    golden.addError(shares.path, Math.max(...differences) + Math.max(0, ...excess), 1e-9);
  });
  const perHead = grid.heads.map((_, head) => {
    const counts = found.map(({ correct }) => correct[head] ?? 0);
    const most = Math.max(...counts);
    return { most, epoch: counts.indexOf(most) };
  });
  const best = Math.max(...perHead.map(({ most }) => most));
  const stored = json.get("best");
  golden.addScalar(stored.get("accuracy"), best / images, 1e-6);
  const first = grid.heads[perHead.findIndex(({ most }) => most === best)];
  const name = stored.get("first_head_by_name_order");
  golden.addError(name.path, first && storedName(grid, first) === name.text() ? 0 : 1, 0);
  const epochs = stored.get("epoch_of_each_head");
  golden.add(
    epochs.path,
    perHead.map(({ epoch }) => epoch),
    epochs.numbers(),
    0,
  );
  const margin = Math.min(...found.flatMap(({ margins }) => margins));
  const storedMargin = json.get("smallest_logit_margin");
  golden.addError(storedMargin.path, Math.abs(margin - storedMargin.number()), 2 * bounds.logits);
}

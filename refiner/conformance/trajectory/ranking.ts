import { type HostArray, type Outputs, type RecordedProgram, recordProgram, rows } from "../../../engine/index.ts";
import type { ImageBatch } from "../../data/index.ts";
import { recordFeatures } from "../../methods/refine/step.ts";
import { goldenBounds } from "../bounds.ts";
import type { GoldenCase } from "../fixture.ts";
import type { Json } from "../json.ts";
import { gapBound, smallestStep } from "../ranking.ts";
import { entryNoise } from "./ties.ts";
import type { Training } from "./training.ts";

/** What one head's queue answers: the best slot of each row without and with own samples, and similarities of the two best. */
interface Answer {
  readonly similarities: ArrayLike<number>;
  readonly masked: ArrayLike<number>;
  readonly unmasked: ArrayLike<number>;
  readonly unmaskedSimilarities: ArrayLike<number>;
}

/** What the queues say of a batch before its update: how clear the choices are, and what the exclusion of own samples changes. */
export class QueueRanking {
  readonly #program: RecordedProgram<Outputs>;
  /** Least distance so far of a best and a second best similarity, with its bound. */
  #smallest = { distance: Number.POSITIVE_INFINITY, bound: 0 };

  /** @param run - the run in the JSON file */
  constructor(
    readonly training: Training,
    readonly run: Json,
  ) {
    const { model, stage } = training;
    const { layout } = stage.setup.loss;
    const anchorRows = layout.globalViews * layout.batch;
    this.#program = recordProgram<Outputs>(model.device, (program) => {
      const samples = program.input("samples", [layout.batch], "i32");
      const classes = program.input("classes", [layout.batch], "i32");
      const choice = program.own(model.device.zeros([anchorRows], "u32", "first ranks"));
      const { own } = recordFeatures(program, stage.setup, layout.batch);
      const outputs = model.heads.flatMap((head, i): [string, Outputs[string]][] => {
        const features = own[i];
        if (!features) return [];
        const anchors = rows(head.project(features, true), 0, anchorRows);
        const masked = head.queue.lookup(anchors, { k: 2, samples, classes, choice });
        const unmasked = head.queue.lookup(anchors, { k: 2, classes, choice });
        return [
          [`similarities${i}`, masked.similarities],
          [`masked${i}`, masked.slots],
          [`unmasked${i}`, unmasked.slots],
          [`unmaskedSimilarities${i}`, unmasked.similarities],
        ];
      });
      return Object.fromEntries(outputs);
    });
  }

  /** Compares what the file says of the queues before an update. */
  async check(golden: GoldenCase, update: number, batch: ImageBatch): Promise<void> {
    const { model, stage } = this.training;
    const values = golden.precision === "f32" ? await this.#ask(batch) : undefined;
    for (const [i, name] of model.names.entries()) {
      const json = this.run.get("steps", update, "neighbours", name);
      const owners = new Set(await model.heads[i]?.queue.samples.read());
      const masked = batch.indices.filter((sample) => owners.has(sample)).length * stage.setup.loss.layout.globalViews;
      golden.addScalar(json.get("queries_with_masked_slots"), masked, goldenBounds.exact);
      if (!values) continue;
      // Before the first update all queues are as stored; in `main` round-off becomes steps of Adam, and those queue entries.
      const noise = update > 0 && this.run.path === "main" ? entryNoise(this.run, name) : 0;
      this.#checkAnswer(golden, json, noise, {
        similarities: values[`similarities${i}`] ?? [],
        masked: values[`masked${i}`] ?? [],
        unmasked: values[`unmasked${i}`] ?? [],
        unmaskedSimilarities: values[`unmaskedSimilarities${i}`] ?? [],
      });
    }
  }

  /** Compares the least distance over all updates. */
  checkSmallest(golden: GoldenCase): void {
    const { distance, bound } = this.#smallest;
    if (golden.precision === "f32") golden.addScalar(this.run.get("smallest_gap_best_to_second"), distance, bound);
  }

  #checkAnswer(golden: GoldenCase, json: Json, noise: number, answer: Answer): void {
    const { masked, unmasked } = answer;
    const gap = json.get("gap_best_to_second");
    if (!gap.exists) return;
    const distance = smallestStep(answer.similarities, 2);
    const bound = Math.max(gapBound(gap.number()), (2 * noise) / Math.max(gap.number(), 1e-6));
    if (distance < this.#smallest.distance) this.#smallest = { distance, bound };
    // A tie was moved apart; how near to each other the two were has its own row.
    if (!golden.rows.some(({ tensor }) => tensor === gap.path)) golden.addScalar(gap, distance, bound);
    const changes = json.get("queries_whose_neighbour_changes_by_the_mask");
    const changed = Array.from(unmasked).filter((slot, row) => slot !== masked[row]).length;
    // A row whose two best are nearer to each other than the noise may be counted or not.
    const open = pairSteps(answer.unmaskedSimilarities).filter((step) => step < 2 * noise).length;
    golden.addScalar(changes, changed, open / Math.max(changes.number(), 1e-6));
  }

  /** Batch norms in training mode count the batch, so their state is put back. */
  async #ask({ indices, labels }: ImageBatch): Promise<Record<string, HostArray>> {
    const { model, views } = this.training;
    const state = [...model.headStatistics.chunks, ...model.headCounters.chunks];
    const before = await Promise.all(state.map((tensor) => tensor.read()));
    const inputs = { samples: Int32Array.from(indices), classes: labels, ...views.values() };
    const values = await (await this.#program.run(inputs, Object.keys(this.#program.outputs))).read();
    for (const [i, tensor] of state.entries()) model.device.write(tensor, before[i] ?? []);
    return values;
  }

  destroy(): void {
    this.#program.destroy();
  }
}

/** Difference of the two similarities of each row. */
function pairSteps(similarities: ArrayLike<number>): number[] {
  return Array.from({ length: similarities.length / 2 }, (_, row) => {
    return (similarities[2 * row] ?? 0) - (similarities[2 * row + 1] ?? 0);
  });
}

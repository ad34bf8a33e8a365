import { z } from "zod";
import { EngineError } from "../../engine/index.ts";
import type { RunCheckpointMetadata } from "./run_state.ts";
import type { RunStore } from "./run_store.ts";
import type { TrainingStage } from "./training_method.ts";
import type { RunPosition, TrainingPlan } from "./training_plan.ts";

/** One JSON object a line: the updates and evaluations of a run. */
const file = "metrics.jsonl";

const lineSchema = z.looseObject({
  kind: z.string(),
  stage: z.int().nonnegative(),
  update: z.int().nonnegative().default(0),
  epoch: z.number().nonnegative().default(0),
});
export type MetricsLine = z.output<typeof lineSchema>;

export async function appendMetrics(store: RunStore, event: unknown): Promise<void> {
  await store.appendLine(file, JSON.stringify(event));
}

/** Forgets all lines. */
export async function clearMetrics(store: RunStore): Promise<void> {
  await store.writeText(file, "");
}

/** Where a run checkpoint keeps the evaluations that were made before it (JSON). */
const evaluationsKey = "evaluations";

/** The evaluations of a run, in order: those of what it went on from, and its own. */
export class MadeEvaluations {
  readonly #lines: MetricsLine[] = [];

  add(event: unknown): void {
    const line = evaluationLine(event);
    if (line) this.#lines.push(line);
  }

  /** Adds one, and its line to the metrics. */
  async append(store: RunStore, event: unknown): Promise<void> {
    await appendMetrics(store, event);
    this.add(event);
  }

  has({ stage }: TrainingStage, epoch: number): boolean {
    return this.#lines.some((line) => line.stage === stage && line.epoch === epoch);
  }

  /** What a run checkpoint says of them. */
  get metadata(): RunCheckpointMetadata {
    return this.#lines.length === 0 ? {} : { [evaluationsKey]: JSON.stringify(this.#lines) };
  }
}

/**
 * The evaluations that the metadata of a run checkpoint hold; undefined where they hold none.
 *
 * @param metadata - as they were written: results may depend on every one of them
 * @throws EngineError for what this version does not write
 */
export function evaluationsIn(metadata: ReadonlyMap<string, string>): readonly MetricsLine[] | undefined {
  const text = metadata.get(evaluationsKey);
  if (text === undefined) return undefined;
  const listed: readonly unknown[] = [JSON.parse(text)].flat();
  return listed.map((one) => {
    const line = evaluationLine(one);
    if (line) return line;
    throw new EngineError(
      `resume: the checkpoint holds the evaluation ${JSON.stringify(one)}, which this version cannot read; go on with the version that wrote it, or start again with --force`,
    );
  });
}

function evaluationLine(event: unknown): MetricsLine | undefined {
  const { data } = lineSchema.safeParse(event);
  return data && data.kind !== "update" && isEvaluationOrUpdate(data) ? data : undefined;
}

/**
 * Drops the lines of updates and evaluations that a resumed run makes again. The evaluation at the end of its stage is one of them.
 * Results may depend on evaluations, and lines of text tell no damage: those that the checkpoint holds take the place of what stands there.
 *
 * @param position - where the run goes on
 * @param stored - evaluations that had been made when its checkpoint was written; undefined where that does not tell
 */
export async function rewindMetrics(
  store: RunStore,
  plan: TrainingPlan<TrainingStage>,
  position: RunPosition,
  stored?: readonly MetricsLine[],
): Promise<RewoundMetrics> {
  const text = await store.readText(file);
  if (text === undefined) return { evaluations: [...(stored ?? [])], dropped: 0 };
  const lastEpoch = lastEvaluatedEpoch(plan, position);
  const evaluations: MetricsLine[] = [];
  const written = text.split("\n").filter((line) => line !== "");
  const whole = written.flatMap((line) => {
    const event = parseLine(line);
    return event ? [{ line, event }] : [];
  });
  const kept = whole.filter(({ event }) => {
    if (event.stage > position.stage) return false;
    const isUpdate = event.kind === "update";
    const end = isUpdate ? position.update : lastEpoch;
    if (event.stage === position.stage && (isUpdate ? event.update : event.epoch) > end) return false;
    if (!isUpdate) evaluations.push(event);
    return true;
  });
  const dropped = written.length - whole.length;
  const restored =
    stored && withStored(kept, stored, ({ stage, epoch }) => stage === position.stage && epoch === lastEpoch);
  const lines = restored?.lines ?? kept.map(({ line }) => line);
  await store.writeText(file, lines.map((line) => `${line}\n`).join(""));
  return {
    evaluations: restored?.evaluations ?? evaluations,
    dropped: dropped + (restored?.replaced ?? 0),
  };
}

interface WrittenLine {
  readonly line: string;
  readonly event: MetricsLine;
}

/**
 * Lines with the evaluations that a checkpoint holds, in their order.
 *
 * @param isLater - whether an evaluation may have been made after the checkpoint was written
 */
function withStored(
  written: readonly WrittenLine[],
  stored: readonly MetricsLine[],
  isLater: (event: MetricsLine) => boolean,
): { readonly lines: string[]; readonly evaluations: MetricsLine[]; readonly replaced: number } {
  const texts = stored.map((event) => JSON.stringify(event));
  const keys = new Set(stored.map(keyOf));
  const later: MetricsLine[] = [];
  let next = 0; // among the stored ones
  let replaced = 0;
  const lines = written.flatMap(({ line, event }) => {
    if (event.kind === "update") return [line];
    const place = texts.indexOf(JSON.stringify(event), next);
    if (place >= 0) {
      const gone = texts.slice(next, place);
      next = place + 1;
      return [...gone, line];
    }
    if (isLater(event) && !keys.has(keyOf(event))) {
      later.push(event);
      return [line];
    }
    replaced++;
    return [];
  });
  return { lines: [...lines, ...texts.slice(next)], evaluations: [...stored, ...later], replaced };
}

/** Tells evaluations of a run apart. */
function keyOf({ kind, stage, epoch }: MetricsLine): string {
  return `${kind} ${stage} ${epoch}`;
}

/** What stays of the metrics of a run that goes on. */
export interface RewoundMetrics {
  /** In order. */
  readonly evaluations: MetricsLine[];
  /** Lines that could not be read: cut off by a kill or a full disk, or damaged. */
  readonly dropped: number;
}

/** -1 in a stage that is not evaluated on the way. */
function lastEvaluatedEpoch(plan: TrainingPlan<TrainingStage>, position: RunPosition): number {
  const stage = plan.stages.find((one) => one.stage === position.stage);
  if (stage?.evaluateEvery === undefined) return -1;
  const epoch = plan.epochsBefore(stage) + Math.floor(position.update / stage.updatesPerEpoch);
  return Math.min(epoch, plan.epochsThrough(stage) - 1);
}

/** An event of the metrics; undefined for a line that is no whole one. */
function parseLine(line: string): MetricsLine | undefined {
  try {
    const { data } = lineSchema.safeParse(JSON.parse(line));
    return data && isEvaluationOrUpdate(data) ? data : undefined;
  } catch {
    return undefined; // cut off, or overwritten
  }
}

/** Only updates are numbered: an evaluation with a number is an update whose kind was damaged. */
function isEvaluationOrUpdate({ kind, update }: MetricsLine): boolean {
  return (kind === "update") === update > 0;
}

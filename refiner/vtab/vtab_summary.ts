import { EvaluationError, rightShares } from "../evaluation/index.ts";
import type { VtabRun } from "./vtab_results.ts";
import { type VtabGroup, vtabGroups, vtabTask } from "./vtab_tasks.ts";

/** A mean accuracy and what it is sure of. */
export interface VtabMean {
  readonly mean: number;
  /** Standard error from the test images: of the mean over images of the share of seeds that are right. */
  readonly standardError: number;
  /** Standard error from the seeds: their deviation / √seeds; undefined for one seed. */
  readonly seedError?: number;
}

/** What was found on one task. */
export interface VtabTaskResult extends VtabMean {
  readonly task: string;
  readonly group: VtabGroup;
  readonly classes: number;
  /** Learning rate of the final runs. */
  readonly rate: number;
  /** Mean validation accuracy of every rate; empty where there was only one. */
  readonly search: readonly { readonly rate: number; readonly accuracy: number }[];
  /** Of the final runs, by seed. */
  readonly accuracies: readonly number[];
  /** Of the test list. */
  readonly testImages: number;
  /** True class of every test image. */
  readonly labels: Int32Array;
  /** Predicted class of every test image by seed, -1 for broken ones. */
  readonly predicted: readonly Int32Array[];
}

/** The mean over the tasks of a group, each with the same weight. */
export interface VtabGroupResult extends VtabMean {
  readonly name: VtabGroup | "all";
  readonly tasks: number;
}

/**
 * The rate of the best mean validation accuracy, images of all seeds together. Of equal ones the rate whose text sorts first as a
 * string, as the published script has it.
 *
 * @throws EvaluationError without runs
 */
export function chosenRate(search: readonly VtabRun[]): number {
  const [best] = searchedRates(search).sort((a, b) => b.accuracy - a.accuracy || compareTexts(a.rate, b.rate));
  if (!best) throw new EvaluationError("vtab: no rate was searched; give at least one run");
  return best.rate;
}

/** Mean validation accuracy by rate, in the order of the runs. */
export function searchedRates(search: readonly VtabRun[]): { readonly rate: number; readonly accuracy: number }[] {
  return [...new Set(search.map(({ rate }) => rate))].map((rate) => {
    const runs = search.filter((run) => run.rate === rate);
    const right = runs.reduce((sum, { accuracy, images }) => sum + Math.round(accuracy * images), 0);
    return { rate, accuracy: right / runs.reduce((sum, { images }) => sum + images, 0) };
  });
}

function compareTexts(a: number, b: number): number {
  return String(a) < String(b) ? -1 : 1;
}

/**
 * What the runs of a task say together.
 *
 * @param labels - true class of every test image
 * @throws EvaluationError without final runs
 */
export function summaryOfTask(
  search: readonly VtabRun[],
  final: readonly VtabRun[],
  labels: Int32Array,
): VtabTaskResult {
  const [first] = final;
  if (!first) throw new EvaluationError("vtab: a task has no final run; give at least one");
  const accuracies = final.map(({ accuracy }) => accuracy);
  const predicted = final.map((run) => run.predicted ?? new Int32Array(labels.length).fill(-1));
  return {
    task: first.task,
    group: vtabTask(first.task).group,
    classes: first.classes,
    rate: first.rate,
    search: searchedRates(search),
    accuracies,
    testImages: labels.length,
    labels,
    predicted,
    mean: meanOf(accuracies),
    standardError: errorOfImages(predicted, labels),
    ...seedErrorOf(accuracies),
  };
}

/** Means over the tasks of each group that has some, and over all. */
export function summaryOfGroups(tasks: readonly VtabTaskResult[]): VtabGroupResult[] {
  const names = vtabGroups.filter((name) => tasks.some(({ group }) => group === name));
  const groups = names.map((name) =>
    meanOfTasks(
      name,
      tasks.filter(({ group }) => group === name),
    ),
  );
  return [...groups, meanOfTasks("all", tasks)];
}

/** The mean of tasks, with the errors of a mean. */
export function meanOfTasks(name: VtabGroupResult["name"], tasks: readonly VtabMean[]): VtabGroupResult {
  const errors = tasks.flatMap(({ seedError }) => (seedError === undefined ? [] : [seedError]));
  return {
    name,
    tasks: tasks.length,
    mean: meanOf(tasks.map(({ mean }) => mean)),
    standardError: Math.hypot(...tasks.map(({ standardError }) => standardError)) / tasks.length,
    ...(errors.length === tasks.length ? { seedError: Math.hypot(...errors) / tasks.length } : {}),
  };
}

/** From what each seed gave. */
export function seedErrorOf(values: readonly number[]): Pick<VtabMean, "seedError"> {
  return values.length > 1 ? { seedError: deviationOf(values) / Math.sqrt(values.length) } : {};
}

/** With one seed √(p (1 - p) / n). */
function errorOfImages(predicted: readonly Int32Array[], labels: Int32Array): number {
  const shares = [...rightShares(labels, predicted)].filter((share) => !Number.isNaN(share));
  const mean = meanOf(shares);
  const squares = shares.reduce((sum, share) => sum + (share - mean) ** 2, 0);
  return Math.sqrt(squares / shares.length / shares.length);
}

function meanOf(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** Of a sample. */
function deviationOf(values: readonly number[]): number {
  const mean = meanOf(values);
  return Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (values.length - 1));
}

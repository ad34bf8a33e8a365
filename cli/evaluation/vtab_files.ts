import type { VtabGroupResult, VtabTask, VtabTaskResult } from "../../refiner/index.ts";
import { csvCell } from "../output/csv.ts";
import { type PredictionColumn, writePredictionTable } from "./prediction_files.ts";

/** What the accuracy on a task is called among scores. */
export function taskScoreName(task: string): string {
  return `accuracy, ${task}`;
}

/** What the mean of a group of tasks is called there. */
export function groupScoreName(group: string, tasks: number): string {
  return `accuracy, mean of ${tasks} ${group === "all" ? "tasks" : `${group} tasks`}`;
}

const columns: readonly PredictionColumn[] = [
  { name: "task", kind: "text" },
  { name: "seed", kind: "whole number" },
  { name: "path", kind: "text" },
  { name: "label", kind: "text" },
  { name: "prediction", kind: "optional text" },
];

/** Writes what every final run of every task predicts. @param seed - of the first run */
export async function writeVtabPredictions(
  path: string,
  found: readonly VtabTaskResult[],
  tasks: readonly VtabTask[],
  seed: number,
): Promise<void> {
  const rows = found.flatMap(({ task, predicted }) => {
    const test = tasks.find(({ name }) => name === task)?.test;
    return predicted.flatMap((run, i) =>
      Array.from(run, (label, image) => [
        ...[task, seed + i, test?.name(image) ?? "", String(test?.label(image) ?? "")],
        label < 0 ? null : String(label),
      ]),
    );
  });
  await writePredictionTable(path, columns, rows);
}

/** The table of tasks and groups, as CSV with all digits. */
export function vtabCsv(tasks: readonly VtabTaskResult[], groups: readonly VtabGroupResult[]): string {
  const rows = [
    ["name", "group", "classes", "rate", "validation", "accuracy", "standard_error", "seed_error", "test_images"],
    ...tasks.map((one) => [
      ...[one.task, one.group, one.classes, one.rate, validationOf(one) ?? null],
      ...[one.mean, one.standardError, one.seedError ?? null, one.testImages],
    ]),
    ...groups.map(({ name, mean, standardError, seedError, tasks: count }) => [
      ...[`mean of ${count} tasks`, name, null, null, null],
      ...[mean, standardError, seedError ?? null, null],
    ]),
  ];
  return rows.map((cells) => `${cells.map(csvCell).join(",")}\n`).join("");
}

/** The same for people. */
export function vtabTable(tasks: readonly VtabTaskResult[], groups: readonly VtabGroupResult[]): string[][] {
  const share = (value: number | undefined): string => value?.toFixed(4) ?? "-";
  return [
    ["task", "group", "classes", "rate", "validation", "accuracy", "standard error", "of the seeds"],
    ...tasks.map((one) => [
      ...[one.task, one.group, String(one.classes), String(one.rate), share(validationOf(one))],
      ...[share(one.mean), share(one.standardError), share(one.seedError)],
    ]),
    ...groups.map(({ name, tasks: count, mean, standardError, seedError }) => [
      ...[`mean of ${count} tasks`, name, "", "", ""],
      ...[share(mean), share(standardError), share(seedError)],
    ]),
  ];
}

function validationOf({ search, rate }: VtabTaskResult): number | undefined {
  return search.find((one) => one.rate === rate)?.accuracy;
}

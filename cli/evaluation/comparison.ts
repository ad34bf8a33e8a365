import { pairedDifference, pairedShares } from "../../refiner/evaluation/index.ts";
import { type VtabTaskResult, vtabDifferences } from "../../refiner/index.ts";
import type { Difference, Score } from "./evaluation_line.ts";
import type { ProtocolResult, ScoreParts } from "./protocol.ts";
import { groupScoreName, taskScoreName } from "./vtab_files.ts";

interface Scored extends Pick<ProtocolResult, "predictions" | "parts"> {
  readonly scores: readonly Score[];
}

const rounding = 1e-9; // of sums of up to millions of shares

/** By how much each score of the second encoder is above that of the first; pair by pair where both tell what it is a mean over. */
export function differencesOf(first: Scored, second: Scored): Difference[] {
  const paired = pairedDifferences(first, second);
  return first.scores.flatMap((score, i): Difference[] => {
    const other = second.scores.find(({ name }) => name === score.name);
    if (!other) return [];
    const found = paired.get(score.name);
    if (found) return [found];
    const { predictions: before } = first;
    const { predictions: after } = second;
    if (i > 0 || !before || !after) return [independent(score, other)];
    const difference = pairedDifference(before, after);
    // Predictions may be of other images than the number, such as those without corruptions.
    if (Math.abs(difference.value - (other.value - score.value)) > rounding) return [independent(score, other)];
    return [pairedOf(score.name, difference)];
  });
}

/** Differences of scores that are means over parts, by the names of the scores. */
function pairedDifferences({ parts: before }: Scored, { parts: after }: Scored): ReadonlyMap<string, Difference> {
  const found: Difference[] = [];
  if (before?.kind === "shares" && after?.kind === "shares") found.push(...byImage(before, after));
  if (before?.kind === "tasks" && after?.kind === "tasks") found.push(...byTask(before.tasks, after.tasks));
  return new Map(found.map((one) => [one.name, one]));
}

type Shares = Extract<ScoreParts, { kind: "shares" }>;

function byImage({ shares: before }: Shares, { shares: after }: Shares): Difference[] {
  return [...before].flatMap(([name, shares]) => {
    const others = after.get(name);
    return others ? [pairedOf(name, pairedShares(shares, others))] : [];
  });
}

function byTask(before: readonly VtabTaskResult[], after: readonly VtabTaskResult[]): Difference[] {
  return vtabDifferences(before, after).map(({ name, tasks, mean, standardError, seedError }) => {
    const isTask = before.some(({ task }) => task === name);
    const score = isTask ? taskScoreName(name) : groupScoreName(name, tasks);
    return {
      ...pairedOf(score, { value: mean, standardError }),
      ...(seedError === undefined ? {} : { seedError }),
    };
  });
}

function pairedOf(
  name: string,
  { value, standardError }: { readonly value: number; readonly standardError: number },
): Difference {
  return { name, difference: value, standardError: finite(standardError), how: "paired" };
}

function independent(score: Score, other: Score): Difference {
  const [a, b] = [score.standardError, other.standardError];
  return {
    name: score.name,
    difference: other.value - score.value,
    standardError: a === null || b === null ? null : Math.hypot(a, b),
    how: "independent",
  };
}

function finite(value: number): number | null {
  return Number.isFinite(value) ? value : null;
}

/**
 * Both encoders' scores side by side, with the difference and its standard error; that of the seeds where there are several. An unpaired
 * error takes the two for evaluations of other images each: it is too large where both find the same images hard.
 */
export function comparisonTable(first: Scored, second: Scored, differences: readonly Difference[]): string[][] {
  const hasSeeds = differences.some(({ seedError }) => seedError !== undefined);
  const rows = differences.map(({ name, difference, standardError, seedError, how }) => {
    const value = (scored: Scored) => scored.scores.find((score) => score.name === name)?.value ?? Number.NaN;
    const sign = difference < 0 ? "" : "+";
    return [
      ...[name, value(first).toFixed(4), value(second).toFixed(4), `${sign}${difference.toFixed(4)}`],
      standardError === null ? "" : `${standardError.toFixed(4)}${how === "paired" ? "" : ", unpaired"}`,
      ...(hasSeeds ? [seedError?.toFixed(4) ?? ""] : []),
    ];
  });
  const headings = ["", "first", "second", "difference", "standard error"];
  return [hasSeeds ? [...headings, "of the seeds"] : headings, ...rows];
}

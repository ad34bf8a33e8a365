import { pairedDifference } from "../../refiner/evaluation/index.ts";
import type { Difference, Score } from "./evaluation_line.ts";
import type { ProtocolResult } from "./protocol.ts";

interface Scored extends Pick<ProtocolResult, "predictions"> {
  readonly scores: readonly Score[];
}

/** By how much each score of the second encoder is above that of the first; the main one image by image where both tell. */
export function differencesOf(first: Scored, second: Scored): Difference[] {
  return first.scores.flatMap((score, i): Difference[] => {
    const other = second.scores.find(({ name }) => name === score.name);
    if (!other) return [];
    const { predictions: before } = first;
    const { predictions: after } = second;
    if (i > 0 || !before || !after) return [independent(score, other)];
    const paired = pairedDifference(before, after);
    return [{ name: score.name, difference: paired.value, standardError: finite(paired.standardError), how: "paired" }];
  });
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

/** Both encoders' scores side by side, with the difference and its standard error. */
export function comparisonTable(first: Scored, second: Scored, differences: readonly Difference[]): string[][] {
  const rows = differences.map(({ name, difference, standardError }) => {
    const value = (scored: Scored) => scored.scores.find((score) => score.name === name)?.value ?? Number.NaN;
    const sign = difference < 0 ? "" : "+";
    const error = standardError === null ? "" : standardError.toFixed(4);
    return [name, value(first).toFixed(4), value(second).toFixed(4), `${sign}${difference.toFixed(4)}`, error];
  });
  return [["", "first", "second", "difference", "standard error"], ...rows];
}

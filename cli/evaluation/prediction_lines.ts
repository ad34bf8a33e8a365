import type { ClassPrediction } from "../../refiner/evaluation/index.ts";
import { csvCell } from "../output/csv.ts";

/** First line of predictions as CSV (RFC 4180). */
export const csvHeader = "path,rank,class,probability";

/** One line per class, the most probable first. */
export function csvLines({ name, best }: ClassPrediction): string[] {
  return best.map(({ className, probability }, i) => [name, i + 1, className, probability].map(csvCell).join(","));
}

/** One object for an image: its path and its most probable classes, each with its number among the classifier's. */
export function jsonLine({ name, best }: ClassPrediction): string {
  const classes = best.map(({ className, label, probability }) => ({ class: className, label, probability }));
  return JSON.stringify({ path: name, classes });
}

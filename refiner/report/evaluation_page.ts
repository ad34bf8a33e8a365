import { clusterSections } from "./cluster_section.ts";
import { type EvaluationData, evaluationDataSchema } from "./evaluation_data.ts";
import { escapeHtml, formatNumber, formatPercent, table } from "./html.ts";
import { type PageSection, page } from "./page.ts";
import { segmentSections } from "./segment_section.ts";

/** A score with its standard error, where it has one. */
export interface ReportedShare {
  /** 0 … 1, or a difference of two such, unless the score is a plain number. */
  readonly value: number;
  readonly standardError: number | null;
}

/** Evaluations of one encoder or several by one protocol. */
export interface EvaluationReport {
  readonly protocol: string;
  /** What was chosen on which images. */
  readonly selection: string;
  /** In the order of the columns; the first is what the others are compared with. */
  readonly encoders: readonly { readonly name: string; readonly facts: Readonly<Record<string, string>> }[];
  readonly scores: readonly {
    readonly name: string;
    /** `number` for what is no share, such as inertia; default `share`. */
    readonly kind?: "share" | "number";
    /** Per encoder. */
    readonly values: readonly (ReportedShare | undefined)[];
    /** To the first encoder, for each of the others. */
    readonly differences: readonly (ReportedShare | undefined)[];
  }[];
  /** What all have in common: settings and images. */
  readonly shared: Readonly<Record<string, string>>;
}

/** Evaluations side by side as one HTML file: a part per protocol, encoders in columns. */
export function evaluationPage(
  reports: readonly EvaluationReport[],
  shown: EvaluationData = evaluationDataSchema.parse({}),
): string {
  const heading = headingOf(reports);
  const isOne = reports.length === 1;
  const [scores, ...rest] = reports.flatMap((report, i): PageSection[] => {
    const id = isOne ? "" : `-${i}`;
    const title = (part: string): string => (isOne ? part : `${report.protocol}: ${part.toLowerCase()}`);
    return [
      [`scores${id}`, title("Scores"), scoresOf(report)],
      [`encoders${id}`, title("Encoders"), encodersOf(report)],
      [`protocol${id}`, title("Protocol"), sharedOf(report)],
    ];
  });
  const pictures = [...clusterSections(shown), ...segmentSections(shown)];
  return page({
    title: heading,
    heading,
    opening: "",
    sections: [...(scores ? [scores] : []), ...pictures, ...rest],
    footer: "Written by mimrefine from the receipts of the evaluations.",
  });
}

function headingOf(reports: readonly EvaluationReport[]): string {
  const protocols = reports.map(({ protocol }) => protocol).join(", ");
  const count = Math.max(...reports.map(({ encoders }) => encoders.length));
  return count > 1 ? `${protocols}: ${count} encoders side by side` : `${protocols}: evaluation`;
}

function scoresOf({ selection, encoders, scores }: EvaluationReport): string {
  const [first, ...others] = encoders;
  const columns = ["", first?.name ?? "", ...others.flatMap(({ name }) => [name, "difference"])];
  const rows = scores.map(({ name, kind = "share", values, differences }) => [
    name,
    scoreText(values[0], kind),
    ...others.flatMap((_, i) => [scoreText(values[i + 1], kind), differenceText(differences[i], kind)]),
  ]);
  const caption = "shares in per cent ± standard error, over the same test images";
  return `<p>${escapeHtml(selection)}</p>${table({ caption, columns, rows })}`;
}

function encodersOf({ encoders }: EvaluationReport): string {
  const facts = [...new Set(encoders.flatMap((encoder) => Object.keys(encoder.facts)))];
  return table({
    caption: "what was evaluated, and on what",
    columns: ["", ...encoders.map(({ name }) => name)],
    rows: facts.map((fact) => [fact, ...encoders.map((encoder) => encoder.facts[fact] ?? "–")]),
  });
}

function sharedOf({ shared }: EvaluationReport): string {
  return table({ caption: "the same for all", columns: ["", "value"], rows: Object.entries(shared) });
}

type Kind = "share" | "number";

function scoreText(score: ReportedShare | undefined, kind: Kind): string {
  if (!score) return "–";
  const value = kind === "share" ? formatPercent(score.value, 2) : formatNumber(score.value);
  return `${value}${errorText(score, kind)}`;
}

function differenceText(score: ReportedShare | undefined, kind: Kind): string {
  if (!score) return "–";
  const value = kind === "share" ? `${(100 * score.value).toFixed(2)} points` : formatNumber(score.value);
  return `${score.value < 0 ? "" : "+"}${value}${errorText(score, kind)}`;
}

function errorText({ standardError }: ReportedShare, kind: Kind): string {
  if (standardError === null) return "";
  return ` ± ${kind === "share" ? (100 * standardError).toFixed(2) : formatNumber(standardError)}`;
}

import { clusterSections } from "./cluster_section.ts";
import type { EvaluationData } from "./evaluation_data.ts";
import type { EvaluationReport, ReportedDifference, ReportedShare } from "./evaluation_report.ts";
import { escapeHtml, formatNumber, formatPercent, table } from "./html.ts";
import { type PageSection, page } from "./page.ts";
import { publishedContent } from "./published_section.ts";
import { segmentSections } from "./segment_section.ts";

/**
 * Evaluations side by side as one HTML file: a part per protocol, encoders in columns.
 *
 * @param shown - pictures and curves of each encoder of the first protocol
 */
export function evaluationPage(reports: readonly EvaluationReport[], shown: readonly EvaluationData[] = []): string {
  const heading = headingOf(reports);
  const isOne = reports.length === 1;
  const parts = reports.map((report, i) => {
    const id = isOne ? "" : `-${i}`;
    const title = (part: string): string => (isOne ? part : `${report.protocol}: ${part.toLowerCase()}`);
    const { published = [] } = report;
    const numbers: readonly PageSection[] = [
      [`scores${id}`, title("Scores"), scoresOf(report)],
      ...(published.length > 0
        ? [[`published${id}`, title("Published figures"), publishedContent(published)] as const]
        : []),
    ];
    const facts: readonly PageSection[] = [
      [`encoders${id}`, title("Encoders"), encodersOf(report)],
      [`protocol${id}`, title("Protocol"), sharedOf(report)],
    ];
    return { numbers, facts };
  });
  const [first, ...others] = parts;
  const names = reports[0]?.encoders.map(({ name }) => name) ?? [];
  const ofEncoders = shown.map((data, i) => ({ name: names[i] ?? `encoder ${i + 1}`, data }));
  return page({
    title: heading,
    heading,
    opening: "",
    sections: [
      ...(first?.numbers ?? []),
      ...clusterSections(ofEncoders),
      ...segmentSections(ofEncoders),
      ...(first?.facts ?? []),
      ...others.flatMap(({ numbers, facts }) => [...numbers, ...facts]),
    ],
    footer: "Written by mimrefine from the receipts of the evaluations.",
  });
}

function headingOf(reports: readonly EvaluationReport[]): string {
  const protocols = reports.map(({ protocol }) => protocol).join(", ");
  const count = Math.max(...reports.map(({ encoders }) => encoders.length));
  return count > 1 ? `${protocols}: ${count} encoders side by side` : `${protocols}: evaluation`;
}

/** The scores of a protocol's encoders beside each other, and what was selected. */
export function scoresOf({ selection, encoders, scores }: EvaluationReport): string {
  const [first, ...others] = encoders;
  const columns = ["", first?.name ?? "", ...others.flatMap(({ name }) => [name, "difference"])];
  const rows = scores.map(({ name, kind = "share", values, differences }) => [
    name,
    scoreText(values[0], kind),
    ...others.flatMap((_, i) => [scoreText(values[i + 1], kind), differenceText(differences[i], kind)]),
  ]);
  const caption =
    "shares in per cent ± standard error, over the same test images; differences image by image, unless unpaired";
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

/** What all encoders have in common. */
export function sharedOf({ shared }: Pick<EvaluationReport, "shared">): string {
  return table({ caption: "the same for all", columns: ["", "value"], rows: Object.entries(shared) });
}

type Kind = "share" | "number";

function scoreText(score: ReportedShare | undefined, kind: Kind): string {
  if (!score) return "–";
  const value = kind === "share" ? formatPercent(score.value, 2) : formatNumber(score.value);
  return `${value}${errorText(score, kind)}`;
}

function differenceText(score: ReportedDifference | undefined, kind: Kind): string {
  if (!score) return "–";
  const value = kind === "share" ? `${(100 * score.value).toFixed(2)} points` : formatNumber(score.value);
  const hint = score.how === "paired" || score.standardError === null ? "" : " (unpaired)";
  return `${score.value < 0 ? "" : "+"}${value}${errorText(score, kind)}${hint}`;
}

function errorText({ standardError }: ReportedShare, kind: Kind): string {
  if (standardError === null) return "";
  return ` ± ${kind === "share" ? (100 * standardError).toFixed(2) : formatNumber(standardError)}`;
}

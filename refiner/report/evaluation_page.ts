import { escapeHtml, formatPercent, table } from "./html.ts";
import { page } from "./page.ts";

/** A share with its standard error, where it has one. */
export interface ReportedShare {
  /** 0 … 1, or a difference of two such. */
  readonly value: number;
  readonly standardError: number | null;
}

/** Evaluations of several encoders by one protocol. */
export interface EvaluationReport {
  readonly protocol: string;
  /** What was chosen on which images. */
  readonly selection: string;
  /** In the order of the columns; the first is what the others are compared with. */
  readonly encoders: readonly { readonly name: string; readonly facts: Readonly<Record<string, string>> }[];
  readonly scores: readonly {
    readonly name: string;
    /** Per encoder. */
    readonly values: readonly (ReportedShare | undefined)[];
    /** To the first encoder, for each of the others. */
    readonly differences: readonly (ReportedShare | undefined)[];
  }[];
  /** What all have in common: settings and images. */
  readonly shared: Readonly<Record<string, string>>;
}

/** Evaluations side by side as one HTML file. */
export function evaluationPage({ protocol, selection, encoders, scores, shared }: EvaluationReport): string {
  const [first, ...others] = encoders;
  const columns = ["", first?.name ?? "", ...others.flatMap(({ name }) => [name, "difference"])];
  const rows = scores.map(({ name, values, differences }) => [
    name,
    shareText(values[0]),
    ...others.flatMap((_, i) => [shareText(values[i + 1]), differenceText(differences[i])]),
  ]);
  const facts = [...new Set(encoders.flatMap((encoder) => Object.keys(encoder.facts)))];
  const heading = `${protocol}: ${encoders.length} encoders side by side`;
  return page({
    title: heading,
    heading,
    opening: `<p>${escapeHtml(selection)}</p>`,
    sections: [
      ["scores", "Scores", table({ caption: "per cent ± standard error, over the same test images", columns, rows })],
      [
        "encoders",
        "Encoders",
        table({
          caption: "what was evaluated, and on what",
          columns: ["", ...encoders.map(({ name }) => name)],
          rows: facts.map((fact) => [fact, ...encoders.map((encoder) => encoder.facts[fact] ?? "–")]),
        }),
      ],
      [
        "protocol",
        "Protocol",
        table({ caption: "the same for all", columns: ["", "value"], rows: Object.entries(shared) }),
      ],
    ],
    footer: "Written by mimrefine evaluate compare from the receipts of the evaluations.",
  });
}

function shareText(share: ReportedShare | undefined): string {
  if (!share) return "–";
  return `${formatPercent(share.value, 2)}${errorText(share)}`;
}

function differenceText(share: ReportedShare | undefined): string {
  if (!share) return "–";
  return `${share.value < 0 ? "" : "+"}${(100 * share.value).toFixed(2)} points${errorText(share)}`;
}

function errorText({ standardError }: ReportedShare): string {
  return standardError === null ? "" : ` ± ${(100 * standardError).toFixed(2)}`;
}

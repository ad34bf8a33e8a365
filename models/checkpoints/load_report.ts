import type { CheckpointFormat } from "../../engine/files/index.ts";
import { nameBelow } from "./state_dict.ts";

/** What became of every tensor of a file. */
export interface LoadReport {
  readonly file: string;
  readonly format: CheckpointFormat;
  /** Whose names the file uses. */
  readonly family: string;
  /** Where the encoder stood: path of the dictionary and prefix of the names. */
  readonly place: string;
  /** Other places with an encoder; give one as `place` to load that instead. */
  readonly alternatives: readonly string[];
  /** Parameters by their published names, and what they were made of. */
  readonly matched: readonly { readonly target: string; readonly sources: readonly string[] }[];
  /** Left out on purpose. */
  readonly dropped: readonly { readonly names: readonly string[]; readonly reason: string }[];
  /** Parameters without a stored value. */
  readonly missing: readonly string[];
  /** Tensors that nothing is known about. */
  readonly leftOver: readonly string[];
  /** What was converted on the way, for instance the class row of the positions. */
  readonly notes: readonly string[];
  /** Suspicious values, naming their tensors; complete once the tensors were read. */
  readonly warnings: readonly string[];
}

/** The report as lines of text. */
export function formatReport(report: LoadReport): string[] {
  const { file, family, format, place, matched, dropped, missing, leftOver } = report;
  const at = place === "" ? "" : `, at ${place}`;
  return [
    `${file}: ${family}, ${format}${at}: ${matched.length} parameters matched`,
    ...report.notes.map((note) => `  ${note}`),
    ...dropped.map(({ names, reason }) => `  dropped ${count(names, "tensor")}: ${reason} (${some(names)})`),
    ...(report.alternatives.length > 0 ? [`  not used: encoders at ${report.alternatives.join(", ")}`] : []),
    ...(missing.length > 0 ? [`  missing ${count(missing, "parameter")}: ${some(missing)}`] : []),
    ...(leftOver.length > 0 ? [`  left over ${count(leftOver, "tensor")}: ${some(leftOver)}`] : []),
    ...report.warnings.map((warning) => `  warning: ${warning}`),
  ];
}

/** How many there are, in words. */
export function count(names: readonly string[], noun: string): string {
  return `${names.length} ${noun}${names.length === 1 ? "" : "s"}`;
}

/** A few of the names. */
export function some(names: readonly string[], most = 3): string {
  return names.slice(0, most).join(", ") + (names.length > most ? ", …" : "");
}

/** The encoder's report with the decoder's tensors counted as matched. */
export function withDecoder(report: LoadReport, used: readonly string[]): LoadReport {
  const isUsed = new Set(used);
  const dropped = report.dropped
    .map(({ names, reason }) => ({ reason, names: names.filter((name) => !isUsed.has(name)) }))
    .filter(({ names }) => names.length > 0);
  const matched = used.map((path) => ({ target: nameBelow(report.place, path), sources: [path] }));
  return { ...report, dropped, matched: [...report.matched, ...matched] };
}

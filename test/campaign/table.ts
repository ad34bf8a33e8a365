import { cpus, totalmem } from "node:os";
import type { Ledger, Tally } from "./ledger.ts";

const headings = ["part", "tried", "refused", "read or right", "faults", "slowest", "memory", "seconds"];

/** The table of a campaign, in Markdown, with the outcomes by kind below it. */
export function campaignTable(ledger: Ledger): string {
  const tried = ledger.tallies.filter(([, { tried, outcomes }]) => tried > 0 || Object.keys(outcomes).length > 0);
  const rows = tried.map(([part, tally]) => row(part, tally));
  const all = tried.map(([, tally]) => tally);
  const sum = (key: "tried" | "refused" | "good" | "faults" | "seconds"): number =>
    all.reduce((total, tally) => total + tally[key], 0);
  const total = [
    "all",
    count(sum("tried")),
    count(sum("refused")),
    count(sum("good")),
    count(sum("faults")),
    "",
    "",
    String(Math.round(sum("seconds"))),
  ];
  const line = (cells: readonly string[]): string => `| ${cells.join(" | ")} |`;
  const outcomes = tried.map(([part, tally]) => `- ${part}: ${outcomesOf(tally)}`);
  const ruler = headings.map((_, i) => (i === 0 ? "---" : "---:"));
  return [...[headings, ruler, ...rows, total].map(line), "", ...outcomes].join("\n");
}

function row(part: string, tally: Tally): string[] {
  const { tried, refused, good, faults, slowestMs, peakBytes, seconds } = tally;
  return [
    part,
    ...[tried, refused, good, faults].map(count),
    slowestMs > 0 ? `${Math.round(slowestMs)} ms` : "",
    peakBytes > 0 ? `${Math.round(peakBytes / 2 ** 20)} MiB` : "",
    String(Math.round(seconds)),
  ];
}

function count(number: number): string {
  return number.toLocaleString("en-US");
}

function outcomesOf({ outcomes }: Tally): string {
  const sorted = Object.entries(outcomes).sort(([, a], [, b]) => b - a);
  return sorted.map(([outcome, number]) => `${count(number)} ${outcome}`).join(", ") || "nothing";
}

/** The machine that the figures belong to. */
export function machine(): string {
  const [first] = cpus();
  return `${cpus().length} cores (${first?.model.trim() ?? "unknown"}), ${Math.round(totalmem() / 2 ** 30)} GiB, Node ${process.version}`;
}

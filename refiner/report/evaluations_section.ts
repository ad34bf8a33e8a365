import { scoresOf, sharedOf } from "./evaluation_page.ts";
import type { EvaluationReport } from "./evaluation_report.ts";
import { details, escapeHtml } from "./html.ts";
import { publishedContent } from "./published_section.ts";

/** What was measured of the encoders that a run began with and gave, by one protocol each. */
export function evaluationsSection(reports: readonly EvaluationReport[]): string {
  const cards = reports.map((report) => {
    const { protocol, published = [], shared } = report;
    const name = escapeHtml(protocol);
    const settings = details(`Settings and images of ${protocol}`, sharedOf({ shared }));
    return `<div class="card" role="group" aria-label="${name}"><h3>${name}</h3>${scoresOf(report)}${publishedContent(published)}${settings}</div>`;
  });
  return `<p class="soft">Receipts of evaluations whose weights have the digest of the run's encoder, before and after.</p><div class="rows">${cards.join("\n")}</div>`;
}

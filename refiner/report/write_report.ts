import { configurationSection, headlines, machineSection } from "./fact_sections.ts";
import { escapeHtml } from "./html.ts";
import { knnSection } from "./knn_section.ts";
import { gallerySection, patchMapSection } from "./picture_sections.ts";
import type { RunRecord } from "./report_data.ts";
import { style } from "./style.ts";
import { trainingSection } from "./training_section.ts";

/**
 * The report of a run as one HTML file: inline SVG, data URLs, no script and no network (a content security policy forbids
 * both). Every chart has its numbers as a table.
 */
export function writeReport(run: RunRecord): string {
  const sections: readonly (readonly [id: string, title: string, content: string])[] = [
    ["knn", "k-NN accuracy", knnSection(run.metrics.knn)],
    ["training", "Training", trainingSection(run.metrics.updates)],
    ["neighbours", "Nearest images", gallerySection(run.data)],
    ["patches", "Patch features", patchMapSection(run.data)],
    ["machine", "Machine, time and memory", machineSection(run)],
    ["configuration", "Configuration", configurationSection(run.config)],
  ];
  const links = sections.map(([id, title]) => `<li><a href="#${id}">${escapeHtml(title)}</a></li>`).join("");
  const body = sections
    .map(
      ([id, title, content]) =>
        `<section id="${id}" aria-labelledby="${id}-heading"><h2 id="${id}-heading">${escapeHtml(title)}</h2>\n${content}</section>`,
    )
    .join("\n");
  const action = run.config.command === "pretrain" ? "Pre-training" : "Refinement";
  const version = run.config.version;
  const made = typeof version === "string" ? `mimrefine ${version}` : "mimrefine";
  const { skipped } = run.metrics;
  const note =
    skipped > 0 ? `<p>${skipped} line${skipped === 1 ? "" : "s"} of metrics.jsonl could not be read.</p>` : "";
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>${escapeHtml(run.name)}: ${action.toLowerCase()} report</title>
<link rel="icon" href="data:,">
<style>${style}</style>
</head>
<body>
<a class="skip" href="#content">Skip to the content</a>
<header><h1>${action} of ${escapeHtml(run.name)}</h1>
<nav aria-label="Sections"><ul>${links}</ul></nav></header>
<main id="content" tabindex="-1">
${headlines(run)}
${body}
</main>
<footer>${note}<p>Written by ${escapeHtml(made)} from config.json, metrics.jsonl and report_data.json of the run folder.</p></footer>
</body>
</html>
`;
}

import { accuracySection } from "./accuracy_section.ts";
import { evaluationsSection } from "./evaluations_section.ts";
import { configurationSection, headlines, machineSection } from "./fact_sections.ts";
import { escapeHtml } from "./html.ts";
import { knnSection } from "./knn_section.ts";
import { type PageSection, page } from "./page.ts";
import { gallerySection, patchMapSection } from "./picture_sections.ts";
import { publishedContent } from "./published_section.ts";
import type { RunRecord } from "./report_data.ts";
import { trainingSection } from "./training_section.ts";

/** The report of a run as one HTML file. Every chart has its numbers as a table. */
export function writeReport(run: RunRecord): string {
  const isFineTuning = run.config.command === "finetune";
  const found: readonly PageSection[] = isFineTuning
    ? [
        ["accuracy", "Accuracy", accuracySection(run.metrics.tests)],
        ...publishedSections(run.data),
        ["training", "Training", trainingSection(run.metrics.updates, "cross-entropy of smoothed and mixed targets")],
      ]
    : [
        ["knn", "k-NN accuracy", knnSection(run.metrics.knn)],
        ["training", "Training", trainingSection(run.metrics.updates)],
        ["neighbours", "Nearest images", gallerySection(run.data)],
        [
          "patches",
          hasAttention(run.data) ? "Patch features and attention" : "Patch features",
          patchMapSection(run.data),
        ],
      ];
  const { evaluations = [] } = run;
  const sections: readonly PageSection[] = [
    ...(evaluations.length > 0 ? [["evaluations", "Evaluations", evaluationsSection(evaluations)] as const] : []),
    ...found,
    ["machine", "Machine, time and memory", machineSection(run)],
    ["configuration", "Configuration", configurationSection(run.config)],
  ];
  const action = actionOf(run.config.command);
  const version = run.config.version;
  const made = typeof version === "string" ? `mimrefine ${version}` : "mimrefine";
  const { skipped } = run.metrics;
  const note =
    skipped > 0 ? `<p>${skipped} line${skipped === 1 ? "" : "s"} of metrics.jsonl could not be read.</p>` : "";
  return page({
    title: `${run.name}: ${action.toLowerCase()} report`,
    heading: `${action} of ${run.name}`,
    opening: headlines(run),
    sections,
    footer: `${note}<p>Written by ${escapeHtml(made)} from config.json, metrics.jsonl and report_data.json of the run folder${evaluations.length > 0 ? ", and from receipts of evaluations" : ""}.</p>`,
  });
}

function publishedSections({ published }: RunRecord["data"]): PageSection[] {
  return published.length > 0 ? [["published", "Published figures", publishedContent(published)]] : [];
}

function hasAttention({ patchMaps }: RunRecord["data"]): boolean {
  return patchMaps.some(({ attention }) => attention !== undefined);
}

function actionOf(command: unknown): string {
  if (command === "finetune") return "Fine-tuning";
  return command === "pretrain" ? "Pre-training" : "Refinement";
}

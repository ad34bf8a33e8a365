import type { EvaluationData } from "./evaluation_data.ts";
import { escapeHtml, formatNumber, formatPercent } from "./html.ts";
import { lineChart } from "./line_chart.ts";
import type { PageSection } from "./page.ts";
import { stateColours } from "./palette.ts";
import { strip } from "./picture_sections.ts";

/** Contact sheets, and curves over the number of clusters, as far as there are any. */
export function clusterSections({ sheets, clustersLeftOut, curve }: EvaluationData): PageSection[] {
  return [
    ...(curve.length > 0 ? [["curves", "Number of clusters", curves(curve)] as const] : []),
    ...(sheets.length > 0 ? [["sheets", "Clusters", contactSheets(sheets, clustersLeftOut)] as const] : []),
  ];
}

function curves(curve: EvaluationData["curve"]): string {
  const ordered = [...curve].sort((a, b) => a.clusters - b.clusters);
  const inertia = ordered.map(({ clusters, inertia: y }) => ({ x: clusters, y }));
  const silhouette = ordered.flatMap(({ clusters, silhouette: y }) => (y === undefined ? [] : [{ x: clusters, y }]));
  const best = silhouette.reduce<(typeof silhouette)[number] | undefined>(
    (a, b) => (a && a.y >= b.y ? a : b),
    undefined,
  );
  const common = { xLabel: "clusters", markers: true, formatX: (x: number) => String(Math.round(x)) };
  const elbow = lineChart({
    ...common,
    id: "inertia",
    title: "Inertia",
    yLabel: "sum of squared distances",
    description:
      "Falls with every cluster; where it stops falling fast, further clusters divide what belongs together.",
    series: [{ name: "inertia", colour: stateColours.before, points: inertia }],
  });
  const apart = lineChart({
    ...common,
    id: "silhouette",
    title: "Silhouette",
    yLabel: "mean over images, −1 to 1",
    description: best ? `Highest for ${best.x} clusters: ${formatNumber(best.y)}.` : "",
    series: [{ name: "silhouette", colour: stateColours.after, points: silhouette }],
  });
  return `<div class="charts">${elbow}${apart}</div>`;
}

function contactSheets(sheets: EvaluationData["sheets"], leftOut: number): string {
  const note = [
    "The images nearest to the centre of each cluster, nearest first; the largest clusters come first.",
    ...(leftOut > 0 ? [`${leftOut} smaller clusters are not shown.`] : []),
  ].join(" ");
  const cards = sheets.map(({ cluster, images, most, pictures }) => {
    const label = most ? `; most frequent: ${most.label} (${formatPercent(most.share, 0)})` : "";
    const title = `Cluster ${cluster}: ${images} image${images === 1 ? "" : "s"}${label}`;
    return `<div class="card" role="group" aria-label="${escapeHtml(title)}"><p class="state">${escapeHtml(title)}</p>${strip(pictures, title)}</div>`;
  });
  return `<p class="soft">${note}</p><div class="rows">${cards.join("\n")}</div>`;
}

import type { EvaluationData, ShownEncoder } from "./evaluation_data.ts";
import { escapeHtml, formatNumber, formatPercent } from "./html.ts";
import { lineChart, type Series } from "./line_chart.ts";
import type { PageSection } from "./page.ts";
import { stateColours } from "./palette.ts";
import { strip } from "./picture_sections.ts";

/** Contact sheets of each encoder, and curves over the number of clusters, as far as there are any. */
export function clusterSections(encoders: readonly ShownEncoder[]): PageSection[] {
  const isOne = encoders.length === 1;
  const withCurve = encoders.filter(({ data }) => data.curve.length > 0);
  const sheets = encoders.flatMap(({ name, data }, i): PageSection[] => {
    if (data.sheets.length === 0) return [];
    const place = isOne ? "" : `-${i}`;
    return [[`sheets${place}`, isOne ? "Clusters" : `Clusters: ${name}`, contactSheets(data, `${name}, `, isOne)]];
  });
  return [...(withCurve.length > 0 ? [["curves", "Number of clusters", curves(withCurve)] as const] : []), ...sheets];
}

/** Of up to two encoders. */
const encoderLines: readonly Pick<Series, "colour" | "dash">[] = [
  { colour: stateColours.before },
  { colour: stateColours.after, dash: "6 4" },
];

function curves(encoders: readonly ShownEncoder[]): string {
  const isOne = encoders.length === 1;
  const common = { xLabel: "clusters", markers: true, formatX: (x: number) => String(Math.round(x)) };
  const points = encoders.map(({ data }) => {
    const ordered = [...data.curve].sort((a, b) => a.clusters - b.clusters);
    const inertia = ordered.map(({ clusters: x, inertia: y }) => ({ x, y }));
    const silhouette = ordered.flatMap(({ clusters: x, silhouette: y }) => (y === undefined ? [] : [{ x, y }]));
    return { inertia, silhouette };
  });
  const series = (of: "inertia" | "silhouette"): Series[] =>
    encoders.map(({ name }, i) => {
      const alone = { colour: of === "inertia" ? stateColours.before : stateColours.after };
      return {
        name: isOne ? of : name,
        points: points[i]?.[of] ?? [],
        ...(isOne ? alone : (encoderLines[i % encoderLines.length] ?? alone)),
      };
    });
  const highest = encoders.flatMap(({ name }, i) => {
    const best = points[i]?.silhouette.reduce((a, b) => (a.y >= b.y ? a : b), { x: 0, y: Number.NEGATIVE_INFINITY });
    if (!best || best.y === Number.NEGATIVE_INFINITY) return [];
    return `${isOne ? "Highest" : `${name}: highest`} for ${best.x} clusters: ${formatNumber(best.y)}.`;
  });
  const elbow = lineChart({
    ...common,
    id: "inertia",
    title: "Inertia",
    yLabel: "sum of squared distances",
    description:
      "Falls with every cluster; where it stops falling fast, further clusters divide what belongs together.",
    series: series("inertia"),
  });
  const apart = lineChart({
    ...common,
    id: "silhouette",
    title: "Silhouette",
    yLabel: "mean over images, −1 to 1",
    description: highest.join(" "),
    series: series("silhouette"),
  });
  return `<div class="charts">${elbow}${apart}</div>`;
}

/** @param whose - before the cluster's number, for those who do not see the heading */
function contactSheets({ sheets, clustersLeftOut: leftOut }: EvaluationData, whose: string, isOne: boolean): string {
  const note = [
    "The images nearest to the centre of each cluster, nearest first; the largest clusters come first.",
    ...(isOne ? [] : ["Clusters of two encoders are numbered independently of each other."]),
    ...(leftOut > 0 ? [`${leftOut} smaller clusters are not shown.`] : []),
  ].join(" ");
  const cards = sheets.map(({ cluster, images, most, pictures }) => {
    const label = most ? `; most frequent: ${most.label} (${formatPercent(most.share, 0)})` : "";
    const title = `Cluster ${cluster}: ${images} image${images === 1 ? "" : "s"}${label}`;
    const spoken = isOne ? title : `${whose}${title}`;
    return `<div class="card" role="group" aria-label="${escapeHtml(spoken)}"><p class="state">${escapeHtml(title)}</p>${strip(pictures, spoken)}</div>`;
  });
  return `<p class="soft">${note}</p><div class="rows">${cards.join("\n")}</div>`;
}

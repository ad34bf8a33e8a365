import { details, escapeHtml, formatNumber, table } from "./html.ts";
import { type Point, thinned, ticks } from "./scale.ts";

export interface Series {
  readonly name: string;
  readonly colour: string;
  /** Dash pattern, so that lines can be told apart without colour. */
  readonly dash?: string;
  readonly points: readonly Point[];
}

export interface LineChartOptions {
  /** Unique in the page; names the parts that labels refer to. */
  readonly id: string;
  readonly title: string;
  /** What to see in it, for those who hear the page. */
  readonly description: string;
  readonly xLabel: string;
  readonly yLabel: string;
  readonly series: readonly Series[];
  /** Positions that get a dot each; for few points. */
  readonly markers?: boolean;
  readonly formatX?: (x: number) => string;
  readonly formatY?: (y: number) => string;
  /** Labels of the vertical axis; default `formatY`. */
  readonly formatTick?: (y: number) => string;
  /** Vertical lines, such as the beginning of a stage. */
  readonly marks?: readonly { readonly x: number; readonly label: string }[];
}

const width = 480;
const height = 270;
const margin = { left: 62, right: 14, top: 14, bottom: 48 } as const;
/** Rows of the table that stands for the curves. */
const tableRows = 12;

/** Lines over a common axis as inline SVG, with a legend and its numbers as a table. Empty text where there is no point. */
export function lineChart(options: LineChartOptions): string {
  const series = options.series
    .map((one) => ({ ...one, points: thinned(one.points) }))
    .filter((one) => one.points.length > 0);
  const points = series.flatMap((one) => one.points);
  if (points.length === 0) return "";
  const { id, title, description, formatX = formatNumber, formatY = formatNumber } = options;
  const [xs, ys] = [points.map(({ x }) => x), points.map(({ y }) => y)];
  const yTicks = ticks(Math.min(...ys), Math.max(...ys));
  const xTicks = ticks(Math.min(...xs), Math.max(...xs), 6);
  const [xFrom, xTo] = [Math.min(...xs), Math.max(...xs)];
  const left = (x: number): number =>
    margin.left + (xTo > xFrom ? (x - xFrom) / (xTo - xFrom) : 0.5) * (width - margin.left - margin.right);
  const top = (y: number): number =>
    height - margin.bottom - ((y - yTicks.from) / (yTicks.to - yTicks.from)) * (height - margin.top - margin.bottom);
  const grid = yTicks.values
    .map(
      (y) =>
        `<line class="grid" x1="${margin.left}" x2="${width - margin.right}" y1="${at(top(y))}" y2="${at(top(y))}"/><text class="y" x="${margin.left - 8}" y="${at(top(y))}">${escapeHtml((options.formatTick ?? formatY)(y))}</text>`,
    )
    .join("");
  const below = xTicks.values
    .filter((x) => x >= xFrom && x <= xTo && Number.isInteger(x)) // blocks, updates, epochs
    .map(
      (x) => `<text class="x" x="${at(left(x))}" y="${height - margin.bottom + 18}">${escapeHtml(formatX(x))}</text>`,
    )
    .join("");
  const marks = (options.marks ?? [])
    .filter(({ x }) => x >= xFrom && x <= xTo)
    .map(
      ({ x, label }) =>
        `<line class="mark" x1="${at(left(x))}" x2="${at(left(x))}" y1="${margin.top}" y2="${height - margin.bottom}"/><text class="mark" x="${at(left(x) + 5)}" y="${margin.top + 10}">${escapeHtml(label)}</text>`,
    )
    .join("");
  const lines = series.map((one) => line(one, left, top, options.markers === true, formatX, formatY)).join("");
  const axis = `<line class="axis" x1="${margin.left}" x2="${width - margin.right}" y1="${height - margin.bottom}" y2="${height - margin.bottom}"/><text class="label" x="${(margin.left + width - margin.right) / 2}" y="${height - 8}">${escapeHtml(options.xLabel)}</text>`;
  const legend = series
    .map(
      ({ name, colour, dash }) =>
        `<li><svg width="28" height="10" aria-hidden="true"><line x1="1" x2="27" y1="5" y2="5" stroke="${colour}" stroke-width="3"${dash ? ` stroke-dasharray="${dash}"` : ""}/></svg>${escapeHtml(name)}</li>`,
    )
    .join("");
  return `<figure class="chart" aria-labelledby="${id}-title">
<figcaption id="${id}-title">${escapeHtml(title)} <span class="unit">${escapeHtml(options.yLabel)}</span></figcaption>
<svg viewBox="0 0 ${width} ${height}" role="img" aria-labelledby="${id}-title" aria-describedby="${id}-text"><desc id="${id}-text">${escapeHtml(description)}</desc>${grid}${marks}${axis}${below}${lines}</svg>
<ul class="legend">${legend}</ul>
${details("Numbers", numbers(options, series, formatX, formatY))}
</figure>`;
}

function line(
  { name, colour, dash, points }: Series,
  left: (x: number) => number,
  top: (y: number) => number,
  hasMarkers: boolean,
  formatX: (x: number) => string,
  formatY: (y: number) => string,
): string {
  const path = points.map(({ x, y }, i) => `${i === 0 ? "M" : "L"}${at(left(x))} ${at(top(y))}`).join("");
  const dots = points
    .map(
      ({ x, y }) =>
        `<circle cx="${at(left(x))}" cy="${at(top(y))}" r="4" fill="${colour}"><title>${escapeHtml(`${name}, ${formatX(x)}: ${formatY(y)}`)}</title></circle>`,
    )
    .join("");
  const stroke = `<path d="${path}" fill="none" stroke="${colour}" stroke-width="2" stroke-linejoin="round"${dash ? ` stroke-dasharray="${dash}"` : ""}><title>${escapeHtml(name)}</title></path>`;
  return stroke + (hasMarkers || points.length === 1 ? dots : "");
}

/** The curves at up to twelve positions. */
function numbers(
  options: LineChartOptions,
  series: readonly Series[],
  formatX: (x: number) => string,
  formatY: (y: number) => string,
): string {
  const positions = [...new Set(series.flatMap(({ points }) => points.map(({ x }) => x)))].sort((a, b) => a - b);
  const shown = positions.filter(
    (_, i) =>
      positions.length <= tableRows ||
      Math.floor((i * (tableRows - 1)) / (positions.length - 1)) !==
        Math.floor(((i - 1) * (tableRows - 1)) / (positions.length - 1)),
  );
  const rows = shown.map((x) => [
    formatX(x),
    ...series.map(({ points }) => formatY(points.find((point) => point.x === x)?.y ?? Number.NaN)),
  ]);
  return table({
    caption: `${options.title}, ${options.yLabel}`,
    columns: [options.xLabel, ...series.map(({ name }) => name)],
    rows,
  });
}

/** Coordinates to a tenth of a unit. */
function at(value: number): string {
  return String(Number(value.toFixed(1)));
}

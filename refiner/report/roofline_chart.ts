import { escapeHtml, formatNumber } from "./html.ts";

/** Something that ran: a kernel, or the whole step. */
export interface RooflinePoint {
  /** What stands in its mark; refers to a row of the table below the picture. */
  readonly mark: string;
  readonly name: string;
  /** Floating-point operations per byte. */
  readonly intensity: number;
  readonly gflops: number;
  /** Share of the step's time, 0 … 1: the size of the mark. */
  readonly share: number;
  readonly isStep?: boolean;
}

export interface RooflineOptions {
  readonly gflops: number;
  readonly gigabytesPerSecond: number;
  readonly points: readonly RooflinePoint[];
}

const width = 480;
const height = 320;
const margin = { left: 62, right: 24, top: 18, bottom: 48 } as const;

/** 10⁹ operations per second that a kernel can reach at most, by arithmetic or by memory. */
export function roofAt(intensity: number, { gflops, gigabytesPerSecond }: Omit<RooflineOptions, "points">): number {
  return Math.min(gflops, intensity * gigabytesPerSecond);
}

/** Arithmetic rate over operations per byte, both logarithmic, under the roof that the adapter's two peaks make. */
export function rooflineChart(options: RooflineOptions): string {
  const points = options.points.filter(({ intensity, gflops }) => intensity > 0 && gflops > 0);
  const ridge = options.gflops / options.gigabytesPerSecond;
  const x = logScale([ridge / 4, ridge * 4, ...points.map(({ intensity }) => intensity)], {
    from: margin.left,
    to: width - margin.right,
  });
  const y = logScale([options.gflops / 10, options.gflops, ...points.map(({ gflops }) => gflops)], {
    from: height - margin.bottom,
    to: margin.top,
  });
  const bottom = height - margin.bottom;
  const lines = y.powers
    .map(
      (value) =>
        `<line class="grid" x1="${margin.left}" x2="${width - margin.right}" y1="${y.at(value)}" y2="${y.at(value)}"/><text class="y" x="${margin.left - 8}" y="${y.at(value)}">${formatNumber(value)}</text>`,
    )
    .join("");
  const below = x.powers
    .map((value) => `<text class="x" x="${x.at(value)}" y="${bottom + 18}">${formatNumber(value)}</text>`)
    .join("");
  const foot = Math.max(x.least, y.least / options.gigabytesPerSecond);
  const corners = [foot, ridge, x.most].map((value) => `${x.at(value)} ${y.at(roofAt(value, options))}`);
  const roof = `<path d="M${corners.join("L")}" fill="none" stroke="var(--accent)" stroke-width="2.5" stroke-linejoin="round"><title>peaks of the adapter</title></path>`;
  const marks = [...points]
    .sort((a, b) => b.share - a.share)
    .map((point) => mark(point, x.at(point.intensity), y.at(point.gflops)))
    .join("");
  const axis = `<line class="axis" x1="${margin.left}" x2="${width - margin.right}" y1="${bottom}" y2="${bottom}"/><text class="label" x="${(margin.left + width - margin.right) / 2}" y="${height - 8}">FLOP per byte</text>`;
  return `<figure class="chart wide" aria-labelledby="roofline-title">
<figcaption id="roofline-title">Roofline <span class="unit">GFLOP/s; the numbers are those of the table</span></figcaption>
<svg viewBox="0 0 ${width} ${height}" role="img" aria-labelledby="roofline-title" aria-describedby="roofline-text"><desc id="roofline-text">The roof rises with ${escapeHtml(formatNumber(options.gigabytesPerSecond))} GB/s up to ${escapeHtml(formatNumber(options.gflops))} GFLOP/s; each kernel is a circle as large as its share of the time, the whole step a square. The distance to the roof is what is left to gain.</desc>${lines}${axis}${below}${roof}${marks}</svg>
</figure>`;
}

function mark({ mark, name, intensity, gflops, share, isStep }: RooflinePoint, left: number, top: number): string {
  const title = `<title>${escapeHtml(`${name}: ${formatNumber(intensity)} FLOP per byte, ${formatNumber(gflops)} GFLOP/s`)}</title>`;
  const size = isStep ? 12 : 9 + 10 * Math.sqrt(share);
  const outline = `fill="var(--card)" stroke="var(--${isStep ? "good" : "ink"})" stroke-width="2"`;
  const shape = isStep
    ? `<rect x="${left - size}" y="${top - size}" width="${2 * size}" height="${2 * size}" ${outline}/>`
    : `<circle cx="${left}" cy="${top}" r="${Number(size.toFixed(1))}" ${outline} fill-opacity="0.6"/>`;
  const text = `<text class="label" x="${left}" y="${top}" dy="0.35em" style="fill:var(--ink);font-size:13px">${escapeHtml(mark)}</text>`;
  return `<g>${title}${shape}${text}</g>`;
}

/** Whole powers of ten around the values, and their places. */
function logScale(values: readonly number[], { from, to }: { readonly from: number; readonly to: number }) {
  const first = Math.floor(Math.log10(Math.min(...values)));
  const last = Math.ceil(Math.log10(Math.max(...values)));
  const at = (value: number): number =>
    Number((from + ((Math.log10(value) - first) / (last - first)) * (to - from)).toFixed(1));
  const powers = Array.from({ length: last - first + 1 }, (_, i) => Number(`1e${first + i}`));
  return { at, powers, least: 10 ** first, most: 10 ** last };
}

import { expect, it } from "vitest";
import type { KernelTime } from "../../../engine/index.ts";
import { rooflinePage, roofShare } from "../../../refiner/report/roofline_page.ts";

const peaks = { gflops: 40, gigabytesPerSecond: 8 };

/** A kernel that ran for a second. */
function kernel(name: string, flops: number, bytes: number): KernelTime {
  const rates = { gflops: flops / 1e9, gigabytesPerSecond: bytes / 1e9 };
  return { kernel: name, launches: 2, milliseconds: 1000, flops, bytes, ...rates };
}

const kernels = [kernel("matmul_tile", 2e10, 1e9), kernel("gelu<in place>", 1e9, 4e9), kernel("strided_copy", 0, 6e9)];
const report = {
  adapter: { name: "a card", type: "discrete", driver: "1.2" },
  model: "ti16",
  batch: 8,
  step: "train",
  peaks,
  stepMs: 3000,
  gflops: 7,
  dispatches: 6,
  bytesMoved: 1.1e10,
  kernels,
};

it("names every kernel once in the table, with the share of both peaks and of the roof", () => {
  const rows = rooflinePage(report).match(/<tr><th scope="row">.*?<\/tr>/g) ?? [];
  const cells = rows.map((row) => row.replace(/<\/t[hd]>/g, "|").replace(/<[^>]*>/g, ""));
  expect(cells).toEqual([
    "1 matmul_tile|2|1000.00|33.3 %|20|50.0 %|1|12.5 %|50.0 %|",
    "2 gelu&lt;in place&gt;|2|1000.00|33.3 %|1|2.5 %|4|50.0 %|50.0 %|",
    "3 strided_copy|2|1000.00|33.3 %|–|–|6|75.0 %|75.0 %|",
  ]);
});

it("draws the step and every kernel with arithmetic, none above the roof, and a kernel that copies not at all", () => {
  const html = rooflinePage(report);
  expect(html.match(/<circle/g)).toHaveLength(2);
  expect(html.match(/<rect/g)).toHaveLength(1);
  const [, path = ""] = /<path d="M([^"]*)"/.exec(html) ?? [];
  const corners = path.split("L").map((corner) => corner.split(" ").map(Number));
  const [[x0 = 0, y0 = 0] = [], [x1 = 0, y1 = 0] = []] = corners;
  for (const [, x = 0, y = 0] of [...html.matchAll(/<circle cx="([\d.]+)" cy="([\d.]+)"/g)].map((m) => m.map(Number))) {
    const roof = x >= x1 ? y1 : y0 + ((x - x0) * (y1 - y0)) / (x1 - x0);
    expect(y).toBeGreaterThan(roof); // downwards in the picture
  }
});

it("stands alone and holds no number that is none", () => {
  for (const html of [rooflinePage(report), rooflinePage({ ...report, kernels: [] })]) {
    expect(html).not.toMatch(/NaN|Infinity|undefined|https?:|<script/);
    expect(html).toContain("default-src 'none'");
  }
});

it("measures a kernel against the nearer peak", () => {
  expect(roofShare(kernel("memory", 1e9, 4e9), peaks)).toBeCloseTo(0.5);
  expect(roofShare(kernel("arithmetic", 2e10, 1e8), peaks)).toBeCloseTo(0.5);
});

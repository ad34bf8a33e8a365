import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { parseMetrics, reportDataSchema, writeReport } from "../../../refiner/report/index.ts";
import { lineChart } from "../../../refiner/report/line_chart.ts";
import { orderedColours } from "../../../refiner/report/palette.ts";
import { readRun, reportRun, saveReportData } from "../../../refiner/report/report_node.ts";
import { thinned, ticks } from "../../../refiner/report/scale.ts";
import { exampleMetrics, exampleRun } from "./example_run.ts";

const folder = await mkdtemp(join(tmpdir(), "report-"));
afterAll(() => rm(folder, { recursive: true, force: true }));

describe("the report", () => {
  it("loads nothing from elsewhere", async () => {
    const html = writeReport(await exampleRun());
    expect(html).not.toMatch(/<script|<link[^>]+href="(?!data:)|src="(?!data:)|@import|url\(|https?:/);
    expect(html).toContain("default-src 'none'");
  });

  it("escapes names that come from files", async () => {
    const html = writeReport(await exampleRun(`a"><img src=x onerror=alert(1)>`));
    expect(html).toContain("a&quot;&gt;&lt;img src=x onerror=alert(1)&gt;");
    expect(html).not.toContain("<img src=x");
  });

  it("shows the controls of foreign names instead of obeying them", async () => {
    const html = writeReport(await exampleRun("a\u001b[2J\u202eb\u0000c\nd"));
    expect(html).toContain("a\\u001b[2J\\u202eb\\u0000c\\nd");
    expect(html.replaceAll("\n", "")).not.toMatch(/[\p{Cc}\u202e]/u);
  });

  it("takes the updates of a long run", () => {
    const update = (n: number) =>
      `{"kind":"update","stage":3,"update":${n},"loss":${1 + 1 / n},"heads":{"last":{"loss":${1 + 1 / n}}},"imagesPerSecond":400}\n`;
    const metrics = parseMetrics(Array.from({ length: 200_000 }, (_, i) => update(i + 1)).join(""));
    const html = writeReport({ name: "long", config: {}, metrics, data: reportDataSchema.parse({}) });
    expect(html).toContain("<dd>200000<small>");
    expect(html.length).toBeLessThan(1e6);
  });

  it("shows k-NN before and after with the difference in points", async () => {
    const html = writeReport(await exampleRun());
    expect(html).toContain("before 82.2 %, +9.0 points");
    expect(html).toContain("equal to the digit");
  });

  it("warns where stage 2 changed the encoder", async () => {
    const run = await exampleRun();
    const knn = run.metrics.knn.map((line) =>
      line.stage === 2 ? { ...line, accuracy: line.accuracy.map((x) => x + 0.01) } : line,
    );
    expect(writeReport({ ...run, metrics: { ...run.metrics, knn } })).toContain("stage 2 must not change the encoder");
  });

  it("gives every chart a title, a description and its numbers", async () => {
    const html = writeReport(await exampleRun());
    const charts = html.match(/<figure class="chart"/g) ?? [];
    expect(charts.length).toBeGreaterThan(8);
    expect(html.match(/<desc id=/g)).toHaveLength(charts.length);
    expect(html.match(/<summary>Numbers<\/summary>/g)).toHaveLength(charts.length);
    expect(html).not.toMatch(/NaN|undefined|Infinity/);
  });

  it("uses every identifier once", async () => {
    const ids = [...writeReport(await exampleRun()).matchAll(/ id="([^"]+)"/g)].map(([, id]) => id);
    expect(new Set(ids).size).toBe(ids.length);
  });

  it("says what is missing in a run without labels, pictures or updates", () => {
    const html = writeReport({ name: "new", config: {}, metrics: parseMetrics(""), data: reportDataSchema.parse({}) });
    expect(html).toContain("Not measured: the images have no labels");
    expect(html).toContain("No update has been made yet");
    expect(html).toContain("no neighbour galleries");
  });
});

describe("charts of training", () => {
  const update = (localLoss: number) =>
    `{"kind":"update","stage":2,"update":1,"loss":2,"heads":{"cls":{"loss":2,"globalLoss":2,"localLoss":${localLoss}}}}\n`;
  const htmlOf = (metrics: string, config = {}) =>
    writeReport({ name: "run", config, metrics: parseMetrics(metrics), data: reportDataSchema.parse({}) });

  it("leave out local views where there are none", () => {
    expect(htmlOf(update(0))).not.toContain("Loss of local views");
    expect(htmlOf(update(1))).toContain("Loss of local views");
  });

  it("show a pre-training, too", () => {
    const line = '{"kind":"update","stage":1,"update":1,"loss":1.25,"learningRate":0.5,"gradientNorm":3}\n';
    const html = htmlOf(line, { command: "pretrain" });
    expect(html).toContain("Pre-training of run");
    expect(html).toContain("mean squared error of the hidden patches");
    expect(html).toContain("Gradient norm");
    expect(html).not.toContain("could not be read");
  });

  it("label whole numbers of blocks only", () => {
    const knn = '{"kind":"knn","stage":1,"epoch":0,"weights":"encoder","k":20,"accuracy":[0.1,0.2,0.3,0.4]}\n';
    const labels = [...htmlOf(knn).matchAll(/<text class="x"[^>]*>([^<]*)</g)].map(([, text]) => text);
    expect(labels).toEqual(["0", "1", "2", "3"]);
  });
});

describe("metrics.jsonl", () => {
  it("is read up to a line that a kill cut off", () => {
    const text = exampleMetrics();
    const { updates, knn, skipped } = parseMetrics(text.slice(0, -20));
    expect([updates.length, knn.length, skipped]).toEqual([600, 2, 1]);
  });

  it("may hold lines of zeros, of other bytes, and of half an update", () => {
    const [first = "", second = "", ...rest] = exampleMetrics().trimEnd().split("\n");
    const damaged = ["\0".repeat(second.length), "\ufffd{]", first.slice(9), "[]", "null", ...rest].join("\n");
    const { updates, knn, skipped } = parseMetrics(`${first}\n${damaged}`);
    expect([updates.length, knn.length, skipped]).toEqual([599, 3, 5]);
  });

  it("may hold null for a number that was not finite", () => {
    const [line] = parseMetrics(
      '{"kind":"update","stage":2,"update":1,"loss":null,"heads":{"a":{"loss":null}}}',
    ).updates;
    expect(line?.loss).toBeNaN();
  });
});

describe("a run folder", () => {
  it("becomes report.html", async () => {
    await writeFile(join(folder, "config.json"), JSON.stringify({ version: "0.1.0", heads: { last: { queue: 7 } } }));
    await writeFile(join(folder, "metrics.jsonl"), exampleMetrics());
    await saveReportData(folder, (await exampleRun()).data);
    const html = await readFile(await reportRun(folder), "utf8");
    expect(html).toContain("heads.last.queue");
    expect(html).toContain("llvmpipe");
  });

  it("refuses pictures that would be loaded from the network", async () => {
    const image = { src: "https://example.com/x.png", label: "x" };
    await writeFile(
      join(folder, "report_data.json"),
      JSON.stringify({ patchMaps: [{ image, before: image, after: image }] }),
    );
    await expect(readRun(folder)).rejects.toThrow(/patchMaps\.0\.image\.src: expected a PNG, JPEG or WebP data URL/);
  });

  it("that is none is refused with what to give", async () => {
    await expect(readRun(join(folder, "missing"))).rejects.toThrow(/is no folder; give the folder of a run/);
    const empty = await mkdtemp(join(folder, "empty-"));
    await expect(readRun(empty)).rejects.toThrow(/neither config.json nor metrics.jsonl/);
  });
});

describe("charts", () => {
  it("have round ticks that enclose the values", () => {
    expect(ticks(0.13, 0.87).values).toEqual([0, 0.2, 0.4, 0.6, 0.8, 1]);
    expect(ticks(3, 3).values.length).toBeGreaterThan(2);
    expect(ticks(-5, 12).from).toBeLessThanOrEqual(-5);
  });

  it("average long curves and leave gaps out", () => {
    const points = Array.from({ length: 1000 }, (_, x) => ({ x, y: x === 500 ? Number.NaN : x }));
    const few = thinned(points, 100);
    expect(few).toHaveLength(100);
    expect(few.every(({ x, y }) => Math.abs(x - y) < 1e-9)).toBe(true);
  });

  it("are empty text without a point", () => {
    const series = [{ name: "a", colour: "#000", points: [{ x: 0, y: Number.NaN }] }];
    expect(lineChart({ id: "a", title: "", description: "", xLabel: "", yLabel: "", series })).toBe("");
  });

  it("use colours of at least 3 : 1 contrast with the light and the dark page", () => {
    for (const colour of orderedColours(11)) {
      for (const page of ["#ffffff", "#1b1f26"]) expect(contrast(colour, page)).toBeGreaterThan(3);
    }
  });
});

/** Contrast ratio of WCAG 2.2. */
function contrast(a: string, b: string): number {
  const luminance = (colour: string): number =>
    [0.2126, 0.7152, 0.0722].reduce((sum, weight, c) => {
      const value = Number.parseInt(colour.slice(1 + 2 * c, 3 + 2 * c), 16) / 255;
      return sum + weight * (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
    }, 0);
  const [high = 0, low = 0] = [luminance(a), luminance(b)].sort((x, y) => y - x);
  return (high + 0.05) / (low + 0.05);
}

import { describe, expect, it } from "vitest";
import { type EvaluationReport, evaluationDataSchema, evaluationPage } from "../../../refiner/report/index.ts";

const src = "data:image/png;base64,AAAA";
const foreign = `<img src=x onerror="alert('1')">`;

function report(protocol: string, encoders: readonly string[]): EvaluationReport {
  return {
    protocol,
    selection: `nothing was chosen by ${protocol}`,
    encoders: encoders.map((name) => ({ name, facts: { file: name } })),
    scores: [
      {
        name: "accuracy",
        values: encoders.map((_, i) => ({ value: 0.5 + 0.1 * i, standardError: 0.02 })),
        differences: encoders
          .slice(1)
          .map(
            (_, i) => ({ value: 0.1 * (i + 1), standardError: 0.03, how: i === 0 ? "paired" : "independent" }) as const,
          ),
      },
      {
        name: "inertia",
        kind: "number",
        values: encoders.map(() => ({ value: 1234.5, standardError: null })),
        differences: encoders.slice(1).map(() => ({ value: -2.5, standardError: null, how: "independent" }) as const),
      },
    ],
    shared: { k: "20" },
  };
}

/** Cells of the table with that caption's heading, row by row. */
function rowsOf(html: string, section: string): string[][] {
  const [, body = ""] = html.split(`<section id="${section}"`);
  const [own = ""] = body.split("</section>");
  return [...own.matchAll(/<tr>(.*?)<\/tr>/g)].map(([, row = ""]) =>
    [...row.matchAll(/<t[hd][^>]*>(.*?)<\/t[hd]>/g)].map(([, cell = ""]) => cell),
  );
}

describe("the page of evaluations", () => {
  it("sets encoders in columns with differences, and keeps plain numbers from becoming per cent", () => {
    const html = evaluationPage([report("knn", ["before", "after"])]);
    expect(rowsOf(html, "scores")).toEqual([
      ["", "before", "after", "difference"],
      ["accuracy", "50.00 % ± 2.00", "60.00 % ± 2.00", "+10.00 points ± 3.00"],
      ["inertia", "1235", "1235", "-2.5"],
    ]);
    expect(html).toContain("nothing was chosen by knn");
    expect(html).toContain("<h1>knn: 2 encoders side by side</h1>");
  });

  it("says which differences are not paired", () => {
    const html = evaluationPage([report("knn", ["before", "after", "other"])]);
    expect(rowsOf(html, "scores")[1]?.slice(3)).toEqual([
      "+10.00 points ± 3.00",
      "70.00 % ± 2.00",
      "+20.00 points ± 3.00 (unpaired)",
    ]);
  });

  it("gives every protocol its tables", () => {
    const html = evaluationPage([report("knn", ["before", "after"]), report("linear", ["before"])]);
    expect(rowsOf(html, "scores-0")[0]).toEqual(["", "before", "after", "difference"]);
    expect(rowsOf(html, "scores-1")[0]).toEqual(["", "before"]);
    expect(html).toContain("nothing was chosen by linear");
    expect(new Set([...html.matchAll(/ id="([^"]+)"/g)].map(([, id]) => id)).size).toBe(html.match(/ id="/g)?.length);
  });

  it("shows sheets, curves, overlays and classes, and escapes foreign names", () => {
    const picture = { src, label: foreign };
    const shown = evaluationDataSchema.parse({
      sheets: [{ cluster: 3, images: 7, most: { label: foreign, share: 0.75 }, pictures: [picture, picture] }],
      clustersLeftOut: 2,
      curve: [
        { clusters: 3, inertia: 5, silhouette: 0.4 },
        { clusters: 1, inertia: 9 },
        { clusters: 2, inertia: 6, silhouette: 0.6 },
      ],
      overlays: [{ image: picture, predicted: picture, truth: picture }],
      classes: [
        { stored: 1, iou: 0.25, labelled: 10, predicted: 12, colour: "#800000" },
        { stored: 2, iou: null, labelled: 0, predicted: 0, colour: "#008000" },
      ],
    });
    const html = evaluationPage([report(foreign, [foreign])], [shown]);
    expect(html).not.toContain("<img src=x");
    expect(html).toContain("Cluster 3: 7 images; most frequent: &lt;img");
    expect(html).toContain("(75 %)");
    expect(html).toContain("2 smaller clusters are not shown");
    expect(html).toContain("Highest for 2 clusters: 0.6.");
    expect(html.match(/<img /g)).toHaveLength(5);
    expect(rowsOf(html, "classes").slice(1)).toEqual([
      ["1", "25.00 %", "10", "12"],
      ["2", "–", "0", "0"],
    ]);
    expect(html).toContain('fill="#800000"');
    expect(html).not.toMatch(/<script|https?:/);
  });

  it("shows the pictures of both encoders, and whose they are", () => {
    const picture = (label: string) => ({ src, label });
    const shown = (own: string, iou: number | null) =>
      evaluationDataSchema.parse({
        sheets: [{ cluster: 0, images: 5, pictures: [picture(`nearest by ${own}`)] }],
        curve: [
          { clusters: 2, inertia: 5, silhouette: iou ?? 0 },
          { clusters: 3, inertia: 4, silhouette: 0.1 },
        ],
        overlays: ["a.png", "b.png"].map((name) => ({
          image: picture(name),
          predicted: { src: `data:image/png;base64,${own}${name[0]}`, label: "predicted" },
          truth: picture("truth"),
        })),
        classes: [{ stored: 1, iou, labelled: 10, predicted: 12 + own.length, colour: "#800000" }],
      });
    const html = evaluationPage([report("x", ["old", "fresh"])], [shown("old", 0.25), shown("fresh", null)]);
    expect(html).toContain("Clusters: old");
    expect(html).toContain("Clusters: fresh");
    expect(html.indexOf("nearest by old")).toBeLessThan(html.indexOf("nearest by fresh"));
    expect(html).toContain("old: highest for 2 clusters: 0.25. fresh: highest for 3 clusters: 0.1.");
    const [, overlays = ""] = html.split('<section id="overlays"');
    const [cards = ""] = overlays.split("</section>");
    const alternatives = [...cards.matchAll(/src="data:image\/png;base64,([^"]*)" alt="([^"]*)"/g)];
    expect(alternatives.map(([, data, alternative]) => `${data}: ${alternative}`)).toEqual([
      "AAAA: a.png",
      "AAAA: True classes of a.png",
      "olda: Predicted classes of a.png by old",
      "fresha: Predicted classes of a.png by fresh",
      "AAAA: b.png",
      "AAAA: True classes of b.png",
      "oldb: Predicted classes of b.png by old",
      "freshb: Predicted classes of b.png by fresh",
    ]);
    expect(rowsOf(html, "classes")).toEqual([
      [
        "class in the masks",
        "IoU, old",
        "IoU, fresh",
        "labelled pixels",
        "predicted pixels, old",
        "predicted pixels, fresh",
      ],
      ["1", "25.00 %", "–", "10", "15", "17"],
    ]);
    expect(new Set([...html.matchAll(/ id="([^"]+)"/g)].map(([, id]) => id)).size).toBe(html.match(/ id="/g)?.length);
    const other = shown("fresh", 0.5);
    const unlike = { ...other, overlays: other.overlays.toReversed() }; // other images were broken for it
    const parted = evaluationPage([report("x", ["old", "fresh"])], [shown("old", 0.25), unlike]);
    expect(parted).not.toMatch(/Predicted classes of \S+ by fresh/);
  });

  it("takes no picture from elsewhere and no colour that is none", () => {
    const picture = { src: "https://example.org/x.png", label: "x" };
    expect(evaluationDataSchema.safeParse({ sheets: [{ cluster: 0, images: 1, pictures: [picture] }] }).success).toBe(
      false,
    );
    const one = { stored: 1, iou: 0.5, labelled: 1, predicted: 1, colour: '"/><script>' };
    expect(evaluationDataSchema.safeParse({ classes: [one] }).success).toBe(false);
  });
});

import { cp, mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import sharp from "sharp";
import { beforeAll, describe, expect, it } from "vitest";
import { weightsFingerprint } from "../../../cli/checkpoints/weights_digest.ts";
import { receiptSchema } from "../../../cli/evaluation/evaluation_line.ts";
import { writeFileAtomic } from "../../../engine/platform/files_node.ts";
import { saveEncoder, vitConfig } from "../../../models/index.ts";
import { evaluationDataSchema } from "../../../refiner/report/index.ts";
import { testDevice } from "../../device.ts";
import { randomEncoder } from "../../models/random_encoder.ts";
import { runPython } from "../../python.ts";
import { run, temporaryFolder } from "../run_command.ts";
import { start } from "../small_run.ts";

const device = await testDevice();
const at = await temporaryFolder();
const side = 12;
const vit = vitConfig({
  patchPixels: 4,
  width: 16,
  blocks: 2,
  heads: 2,
  channels: 1,
  heightPixels: side,
  widthPixels: side,
});
/** Grey levels far apart, so that clusters are the classes; one name is HTML. */
const classes = { "<i>dark": 10, middle: 120, bright: 230 };

beforeAll(async () => {
  for (const [name, level] of Object.entries(classes)) {
    await mkdir(at(`images/${name}`), { recursive: true });
    for (let i = 0; i < 12; i++) {
      const data = Uint8Array.from({ length: side * side }, (_, pixel) => level + ((pixel * (i + 3)) % 20));
      await sharp(data, { raw: { width: side, height: side, channels: 1 } })
        .png()
        .toFile(at(`images/${name}/${i}.png`));
    }
  }
  for (const seed of [1, 2])
    await writeFileAtomic(at(`${seed}.safetensors`), (sink) => saveEncoder(sink, randomEncoder(device, vit, seed)));
});

const evaluateOf = (weights: string, protocol: string, ...more: readonly string[]) =>
  run("evaluate", protocol, "--weights", at(weights), "--images", at("images"), "--workers", "0", ...more);
const evaluate = (protocol: string, ...more: readonly string[]) => evaluateOf("1.safetensors", protocol, ...more);
const page = (folder: string) => readFile(at(`${folder}/report.html`), "utf8");

describe("the page of an evaluation", () => {
  it("has a contact sheet of each cluster that Pillow can read", { timeout: 240_000 }, async (context) => {
    const { code, err } = await evaluate("cluster", "--restarts", "2", "--out", at("cluster"));
    expect([code, err.includes("error:") ? err : ""]).toEqual([0, ""]);
    expect(err).toContain(`page: ${at("cluster/report.html")}`);
    const html = await page("cluster");
    const data = evaluationDataSchema.parse(JSON.parse(await readFile(at("cluster/evaluation_data.json"), "utf8")));
    expect(data.sheets.map(({ images }) => images)).toEqual([12, 12, 12]);
    expect(new Set(data.sheets.map(({ most }) => most?.label))).toEqual(new Set(Object.keys(classes)));
    for (const { most, pictures } of data.sheets) {
      expect(most?.share).toBe(1);
      expect(pictures).toHaveLength(10); // of 12
    }
    expect(html).toContain("&lt;i&gt;dark");
    expect(html).not.toContain("<i>dark");
    expect(html.match(/<img /g)).toHaveLength(30);
    // Each picture has the grey level of the class that its label names.
    const code2 = `import base64, io
from PIL import Image
print(json.dumps([sum(Image.open(io.BytesIO(base64.b64decode(src.split(",")[1]))).convert("L").getdata()) / ${side * side} for src in given]))`;
    const pictures = data.sheets.flatMap((sheet) => sheet.pictures);
    const means = runPython(
      context,
      { PIL: "python3-pil" },
      code2,
      pictures.map(({ src }) => src),
    );
    const levels = new Map(Object.entries(classes));
    (means as number[]).forEach((mean, i) => {
      expect(Math.abs(mean - 9.5 - (levels.get(pictures[i]?.label ?? "") ?? Number.NaN))).toBeLessThan(2);
    });
  });

  it("draws inertia and silhouette over a range of numbers of clusters", { timeout: 240_000 }, async () => {
    const { code } = await evaluate("cluster", "--clusters", "1..4", "--restarts", "2", "--out", at("curve"));
    expect(code).toBe(0);
    const html = await page("curve");
    const { curve } = evaluationDataSchema.parse(JSON.parse(await readFile(at("curve/evaluation_data.json"), "utf8")));
    expect(curve.map(({ clusters }) => clusters)).toEqual([1, 2, 3, 4]);
    const best = curve.reduce((a, b) => ((b.silhouette ?? -2) > (a.silhouette ?? -2) ? b : a));
    expect(html).toContain(`Highest for ${best.clusters} clusters`);
    expect(html.match(/<circle /g)).toHaveLength(4 + 3);
    for (const list of ["4..1", "1..2000", "1..3,2", "..3", "0..2"]) {
      const refused = await evaluate("cluster", "--clusters", list);
      expect([refused.code, refused.err]).toEqual([2, expect.stringContaining("such as 1,2,5 or 2..20")]);
    }
  });

  it("sets two encoders side by side, and report makes the same page again", { timeout: 240_000 }, async () => {
    const { code } = await evaluate("knn", "-k", "3", "--compare", at("2.safetensors"), "--out", at("knn"));
    expect(code).toBe(0);
    const html = await page("knn");
    expect(html).toContain("knn: 2 encoders side by side");
    for (const part of ["1.safetensors", "2.safetensors", "difference", "nothing was chosen"])
      expect(html).toContain(part);
    await rm(at("knn/report.html"));
    const again = await start("report", at("knn")).ended;
    expect([again.code, again.out.trim()]).toEqual([0, at("knn/report.html")]);
    expect(await page("knn")).toBe(html);
    await writeFile(at("knn/evaluation_data.json"), '{"curve":[{"clusters":-1,"inertia":1}]}');
    const damaged = await run("report", at("knn"));
    expect([damaged.code, damaged.err]).toEqual([
      2,
      expect.stringMatching(/evaluation_data\.json, curve\.0\.clusters/),
    ]);
  });

  it("has the contact sheets of both encoders", { timeout: 240_000 }, async () => {
    const { code } = await evaluate("cluster", "--restarts", "2", "--compare", at("2.safetensors"), "--out", at("two"));
    expect(code).toBe(0);
    const html = await page("two");
    for (const part of ["Clusters: 1.safetensors", "Clusters: 2.safetensors"]) expect(html).toContain(part);
    const stored = evaluationDataSchema.parse(
      JSON.parse(await readFile(at("two/compared/evaluation_data.json"), "utf8")),
    );
    const pictures = stored.sheets.reduce((sum, sheet) => sum + sheet.pictures.length, 0);
    expect(html.match(/<img /g)).toHaveLength(30 + pictures);
    // Another evaluation in its place shows nothing of the second encoder.
    expect((await evaluate("cluster", "--restarts", "2", "--out", at("two"), "--force")).code).toBe(0);
    expect(await page("two")).not.toContain("2.safetensors");
  });

  it("goes into the report of the run that gave its weights, told by their digest", { timeout: 240_000 }, async () => {
    await mkdir(at("run/evaluations"), { recursive: true });
    const before = await weightsFingerprint(at("1.safetensors"));
    await writeFile(at("run/config.json"), JSON.stringify({ fingerprint: { images: {}, weights: before } }));
    await cp(at("2.safetensors"), at("run/encoder.safetensors"));
    await writeFileAtomic(at("3.safetensors"), (sink) => saveEncoder(sink, randomEncoder(device, vit, 3)));
    // Names lie: the refined weights under another name, others under the name of the run's.
    await cp(at("2.safetensors"), at("renamed.safetensors"));
    await mkdir(at("elsewhere"), { recursive: true });
    await cp(at("3.safetensors"), at("elsewhere/encoder.safetensors"));
    const both = ["--compare", at("renamed.safetensors"), "--out", at("run/evaluations/knn")];
    const told = await evaluate("knn", "-k", "3", ...both);
    expect([told.code, told.err]).toEqual([0, expect.stringContaining(`mimrefine report ${at("run")}`)]);
    const other = await evaluateOf("elsewhere/encoder.safetensors", "knn", "-k", "3", "--out", at("run/evaluations/x"));
    expect(other.code).toBe(0);
    const more = await evaluateOf("2.safetensors", "cluster", "--restarts", "2", "--out", at("beside"));
    expect(more.code).toBe(0);

    const made = await start("report", at("run"), "--evaluations", at("beside"), "--json").ended;
    expect([made.code, made.err]).toEqual([0, expect.stringContaining(`${at("run/evaluations/x")}: other weights`)]);
    expect(JSON.parse(made.out).evaluations).toBe(2);
    const html = await page("run");
    const [, section = ""] = html.split('<section id="evaluations"');
    const [own = ""] = section.split("</section>");
    const rows = [...own.matchAll(/<tr>(.*?)<\/tr>/g)].map(([, row = ""]) =>
      [...row.matchAll(/<t[hd][^>]*>(.*?)<\/t[hd]>/g)].map(([, cell = ""]) => cell),
    );
    const scoreOf = async (folder: string) => {
      const { scores } = receiptSchema.parse(JSON.parse(await readFile(at(`${folder}/receipt.json`), "utf8")));
      const [{ value, standardError } = { value: Number.NaN, standardError: 0 }] = scores;
      return `${(100 * value).toFixed(2)} % ± ${(100 * (standardError ?? 0)).toFixed(2)}`;
    };
    expect(rows[0]).toEqual(["", "before", "after", "difference"]);
    expect(rows[1]?.slice(0, 3)).toEqual([
      "accuracy",
      await scoreOf("run/evaluations/knn"),
      await scoreOf("run/evaluations/knn/compared"),
    ]);
    expect(rows.some(([name, column]) => name === "" && column === "after")).toBe(true); // clusters of the refined one alone
    await mkdir(at("pretrained"));
    await writeFile(at("pretrained/config.json"), JSON.stringify({ command: "pretrain", fingerprint: { images: {} } }));
    await cp(at("3.safetensors"), at("pretrained/mae.safetensors"));
    const after = await start("report", at("pretrained"), "--evaluations", at("run/evaluations/x"), "--json").ended;
    expect(JSON.parse(after.out).evaluations).toBe(1);
    const nothing = await start("report", at("run"), "--evaluations", at("images")).ended;
    expect([nothing.code, nothing.err]).toEqual([2, expect.stringContaining("holds no receipt.json")]);
    const wrong = await start("report", at("beside"), "--evaluations", at("two")).ended;
    expect([wrong.code, wrong.err]).toEqual([2, expect.stringContaining("this is an evaluation")]);
  });

  it("takes receipts of several protocols, a table each", { timeout: 240_000 }, async () => {
    const { code } = await evaluateOf("2.safetensors", "cluster", "--restarts", "2", "--out", at("other"));
    expect(code).toBe(0);
    const given = [at("cluster"), at("knn"), at("other"), at("knn/compared")];
    const { out, err } = await start("evaluate", "compare", ...given, "--out", at("all.html"), "--json").ended;
    expect(err).not.toContain("error:");
    const { receipts, differences } = JSON.parse(out);
    const named = receipts.map(({ protocol, encoder }: { protocol: string; encoder: { weights: string } }) => [
      protocol,
      encoder.weights,
    ]);
    expect(named).toEqual([
      ["cluster", at("1.safetensors")],
      ["cluster", at("2.safetensors")],
      ["knn", at("1.safetensors")],
      ["knn", at("2.safetensors")],
    ]);
    expect(differences).toHaveLength(2);
    const html = await readFile(at("all.html"), "utf8");
    expect(html).toContain("cluster: scores");
    expect(html).toContain("knn: scores");
    const none = await run("evaluate", "compare", at("cluster"), at("knn"));
    expect([none.code, none.err]).toEqual([2, expect.stringMatching(/protocol \("cluster" and "knn"\)/)]);
    expect(await readdir(at("cluster"))).toEqual(expect.arrayContaining(["receipt.json", "report.html"]));
  });
});

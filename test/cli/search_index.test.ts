import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import sharp from "sharp";
import { beforeAll, expect, it } from "vitest";
import { openFeatureIndex } from "../../cli/embedding/feature_index.ts";
import { noChecksum, TableChecksum } from "../../cli/embedding/table_checksum.ts";
import { hostUniform } from "../../engine/index.ts";
import { writeFileAtomic } from "../../engine/platform/files_node.ts";
import { saveEncoder } from "../../models/checkpoints/index.ts";
import { vitConfig } from "../../models/index.ts";
import { testDevice } from "../device.ts";
import { randomEncoder } from "../models/random_encoder.ts";
import { run, temporaryFolder } from "./run_command.ts";

const device = await testDevice();
const at = await temporaryFolder();
const minute = 60_000;
const formats = ["npy", "safetensors", "parquet"] as const;
/** Names that a line of a list, or a terminal, cannot hold as they are. */
const oddNames = ["a\tb.png", "a\nb.png", '"quoted".png', "c\u001b[2J.png", "back\\slash.png"];
const query = () => at("images/plain.png");

beforeAll(async () => {
  const config = vitConfig({ patchPixels: 4, width: 32, blocks: 2, heads: 2, heightPixels: 16, widthPixels: 16 });
  for (const [name, seed] of [
    ["one", 1],
    ["other", 2],
  ] as const)
    await writeFileAtomic(at(`${name}.safetensors`), (sink) => saveEncoder(sink, randomEncoder(device, config, seed)));
  await mkdir(at("images"));
  for (const [i, name] of [...oddNames, "plain.png"].entries()) {
    const data = Uint8Array.from(hostUniform(3 * 20 * 20, { seed: i, purpose: "image" }), (value) => 256 * value);
    await writeFile(
      at(`images/${name}`),
      await sharp(data, { raw: { width: 20, height: 20, channels: 3 } })
        .png()
        .toBuffer(),
    );
  }
  for (const format of formats) expect((await embed(`index.${format}`)).code).toBe(0);
});

function embed(out: string, ...more: readonly string[]) {
  const files = ["--weights", at("one.safetensors"), "--images", at("images"), "--out", at(out)];
  return run("embed", ...files, "--workers", "0", ...more);
}

function search(index: string, weights: string, ...more: readonly string[]) {
  return run("search", query(), "--index", at(index), "--weights", at(weights), "--json", ...more);
}

it("finds the same in every format, under the names that the images have", { timeout: minute }, async () => {
  const found: unknown[] = [];
  for (const format of formats) {
    const { code, out, err } = await search(`index.${format}`, "one.safetensors");
    expect([code, err.includes("warning")]).toEqual([0, false]);
    found.push(JSON.parse(out).results);
  }
  expect(found[1]).toEqual(found[0]);
  expect(found[2]).toEqual(found[0]);
  const names = JSON.parse(JSON.stringify(found[0])).map(({ image }: { image: string }) => image);
  expect(names[0]).toBe(query());
  expect(new Set(names)).toEqual(new Set([...oddNames, "plain.png"].map((name) => at(`images/${name}`))));
});

it("writes odd names as JSON strings, one line each, and tells", { timeout: minute }, async () => {
  const { err } = await embed("odd.npy");
  expect(err).toContain("3 names do not fit into a line of the list");
  const lines = (await readFile(at("odd.npy.files.tsv"), "utf8")).trimEnd().split("\n").slice(1);
  expect(lines).toHaveLength(oddNames.length + 1);
  const cells = lines.map((line) => line.split("\t")[0] ?? "");
  const names = cells.map((cell) => (cell.startsWith('"') ? JSON.parse(cell) : cell));
  expect(new Set(names)).toEqual(new Set([...oddNames, "plain.png"].map((name) => at(`images/${name}`))));
});

it.each(formats)("refuses other weights than those of an index in %s", { timeout: minute }, async (format) => {
  const { code, err } = await search(`index.${format}`, "other.safetensors");
  expect([code, err]).toEqual([1, expect.stringContaining("made with other weights (one.safetensors) than")]);
});

it("knows block, pooling and size, and refuses others", { timeout: minute }, async () => {
  await embed("block.npy", "--block", "0", "--pool", "avg", "--shorter-side", "17");
  const { code, out } = await search("block.npy", "one.safetensors");
  expect(code).toBe(0);
  expect(JSON.parse(out).results[0].similarity).toBeGreaterThan(1 - 1e-5);
  for (const [option, value, message] of [
    ["--block", "last", "block (--block) 0, not last"],
    ["--pool", "cls", "pooling (--pool) avg, not cls"],
    ["--shorter-side", "18", "shorter side (--shorter-side) 17, not 18"],
    ["--class-position", "as-published", "position of the class token (--class-position) exact, not as-published"],
  ] as const) {
    const other = await search("block.npy", "one.safetensors", option, value);
    expect([other.code, other.err]).toEqual([1, expect.stringContaining(message)]);
  }
});

it("warns of an index that does not tell its weights", { timeout: minute }, async () => {
  await embed("old.npy");
  await rm(at("old.npy.json"));
  const { code, err } = await search("old.npy", "other.safetensors");
  expect([code, err]).toEqual([0, expect.stringContaining("says nothing about the weights")]);
});

it("names a parquet table that is damaged or of others", { timeout: minute }, async () => {
  const bytes = await readFile(at("index.parquet"));
  await writeFile(at("cut.parquet"), bytes.subarray(0, bytes.length >> 1));
  const { code, err } = await search("cut.parquet", "one.safetensors");
  expect([code, err]).toEqual([
    1,
    expect.stringMatching(/cut\.parquet ends before its footer; embed the images again/),
  ]);
  for (const place of [100, bytes.length >> 1, bytes.length - 20]) {
    const flipped = Buffer.from(bytes);
    flipped[place] = (flipped[place] ?? 0) ^ 1;
    await writeFile(at("flipped.parquet"), flipped);
    await expect(openFeatureIndex(at("flipped.parquet")), String(place)).rejects.toThrow("flipped.parquet is damaged");
  }
  const unsigned = Buffer.from(bytes);
  unsigned.write("sha000", unsigned.lastIndexOf("sha256"));
  await writeFile(at("other.parquet"), unsigned);
  await expect(openFeatureIndex(at("other.parquet"))).rejects.toThrow("other.parquet has no checksum of its own");
});

it("refuses a parquet table that declares more rows than it holds, without memory for them", async () => {
  const bytes = await readFile(at("index.parquet"));
  const footer = bytes.length - 8 - bytes.readUInt32LE(bytes.length - 8);
  // Number of rows in Thrift's compact protocol, between the fields before and behind it: 6 becomes 2 ** 40.
  const at6 = bytes.indexOf(Buffer.from([0x16, 12, 0x19]), footer);
  const many = Buffer.from([0x16, 0x80, 0x80, 0x80, 0x80, 0x80, 0x40]);
  const metadata = Buffer.concat([bytes.subarray(footer, at6), many, bytes.subarray(at6 + 2, -8)]);
  const length = Buffer.alloc(4);
  length.writeUInt32LE(metadata.length);
  const checksum = new TableChecksum();
  checksum.add(bytes.subarray(0, footer));
  const tail = Buffer.concat([metadata, length, Buffer.from("PAR1")]);
  tail.write(noChecksum, tail.lastIndexOf("sha256") + 8);
  checksum.sign(tail);
  await writeFile(at("rows.parquet"), Buffer.concat([bytes.subarray(0, footer), tail]));
  await expect(openFeatureIndex(at("rows.parquet"))).rejects.toThrow("declares 1099511627776 rows, it holds 6");
});

import { describe, expect, it } from "vitest";
import { DataFormatError } from "../../../refiner/data/errors.ts";
import { indexTar, isTar } from "../../../refiner/data/sources/tar.ts";
import { tarEntry, tarOf } from "./tar_of.ts";

function readerOf(bytes: Uint8Array) {
  const reads: number[] = [];
  const read = async (offset: number, lengthBytes: number) => {
    reads.push(lengthBytes);
    return bytes.slice(offset, offset + lengthBytes);
  };
  return { reader: { name: "x.tar", sizeBytes: bytes.length, read }, reads };
}
/** A pax record with its length in front. */
function record(body: string): string {
  const length = (digits: number) => digits + 1 + body.length + 1;
  return `${length(String(length(2)).length)} ${body}\n`;
}
/** A header with one field replaced and its checksum made anew. */
function withField(header: Uint8Array, offset: number, text: string): Uint8Array {
  const changed = Buffer.from(header);
  changed.write(text, offset, "latin1");
  changed.write(" ".repeat(8), 148);
  const sum = changed.reduce((total, byte) => total + byte, 0);
  changed.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
  return changed;
}
const archive = (...entries: Uint8Array[][]) => Buffer.concat([...entries.flat(), new Uint8Array(1024)]);

describe("indexTar", () => {
  it("finds names, places and lengths", async () => {
    const bytes = tarOf({ "./a.txt": "hello", "b/c.txt": "x".repeat(600) });
    const { entries } = await indexTar(readerOf(bytes).reader);
    expect(entries).toEqual([
      { name: "a.txt", offset: 512, lengthBytes: 5 },
      { name: "b/c.txt", offset: 1536, lengthBytes: 600 },
    ]);
  });

  it("takes long names from GNU entries and from pax attributes", async () => {
    const long = `${"folder/".repeat(30)}image.png`;
    const record = (length: number) => `${length} path=${long}-pax\n`;
    const pax = record(record(record(0).length).length);
    const bytes = archive(
      tarEntry("././@LongLink", `${long}\0`, "L"),
      tarEntry(long, "1"),
      tarEntry("PaxHeader", pax, "x"),
      tarEntry(long, "2"),
      tarEntry("short", "3"),
    );
    const { entries } = await indexTar(readerOf(bytes).reader);
    expect(entries.map((entry) => entry.name)).toEqual([long, `${long}-pax`, "short"]);
  });

  it("steps over no content where a header states the size of something that is elsewhere", async () => {
    for (const type of ["1", "2", "3", "4", "5", "6"]) {
      const [link = new Uint8Array()] = tarEntry("link", "");
      const stated = withField(withField(link, 124, "00000001750\0"), 156, type);
      const bytes = archive(tarEntry("a", "12345"), [stated], tarEntry("b", "12"));
      const names = (await indexTar(readerOf(bytes).reader)).entries.map(({ name }) => name);
      expect({ type, names }).toEqual({ type, names: ["a", "b"] });
    }
  });

  it("follows links to folders, and says which lead nowhere", async () => {
    const link = (name: string, target: string) => {
      const [header = new Uint8Array()] = tarEntry(name, "", "2");
      return [withField(header, 157, target)];
    };
    const bytes = archive(
      link("train/cat", "../real/cat"),
      tarEntry("real/cat/1.png", "1"),
      tarEntry("real/cat/deep/2.png", "2"),
      link("train/again", "cat"),
      link("train/lost", "../elsewhere"),
    );
    const { entries, leftOut } = await indexTar(readerOf(bytes).reader);
    const cats = ["1.png", "deep/2.png"];
    expect(entries.map(({ name }) => name)).toEqual([
      ...cats.map((name) => `train/cat/${name}`),
      ...cats.map((name) => `real/cat/${name}`),
      ...cats.map((name) => `train/again/${name}`),
    ]);
    expect(leftOut).toEqual([{ name: "train/lost", kind: "symbolic link to a file that the archive lacks" }]);
  });

  it("keeps links at their place where a file is replaced, and ends at what is no archive", async () => {
    const [header = new Uint8Array()] = tarEntry("c", "", "1");
    const link = withField(header, 157, "b");
    const bytes = archive(
      ...[
        tarEntry("a", "old"),
        tarEntry("b", "1"),
        [link, new Uint8Array()],
        tarEntry("a", "new!"),
        tarEntry("d", "2"),
      ],
    );
    const behind = Buffer.concat([bytes, Buffer.from("no archive".padEnd(512, "."))]);
    const { entries, leftOut } = await indexTar(readerOf(behind).reader);
    expect(entries.map(({ name, lengthBytes }) => `${name} ${lengthBytes}`)).toEqual(["b 1", "c 1", "a 4", "d 1"]);
    expect(leftOut).toEqual([{ name: "a", kind: "file that a later one of its name replaces" }]);
  });

  it("steps over the content that pax writes behind a hard link", async () => {
    const [header = new Uint8Array(), ...content] = tarEntry("link", "12345");
    const link = withField(withField(header, 156, "1"), 157, "a");
    const bytes = archive(tarEntry("a", "12345"), [link, ...content], tarEntry("b", "12"));
    const { entries } = await indexTar(readerOf(bytes).reader);
    expect(entries.map(({ name, offset }) => [name, offset])).toEqual([
      ["a", 512],
      ["link", 512],
      ["b", 2560],
    ]);
  });

  it("takes checksums that were added up with a sign", async () => {
    const [header = new Uint8Array(), ...content] = tarEntry("é.png", "12345");
    const signed = Buffer.from(header);
    signed.write(" ".repeat(8), 148);
    const sum = signed.reduce((total, byte) => total + (byte < 128 ? byte : byte - 256), 0);
    signed.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
    const bytes = archive([signed, ...content]);
    expect(isTar(bytes)).toBe(true);
    expect((await indexTar(readerOf(bytes).reader)).entries.map(({ name }) => name)).toEqual(["é.png"]);
  });

  it("takes a size from pax attributes for one entry only", async () => {
    const [header = new Uint8Array(), content = new Uint8Array(), padding = new Uint8Array()] = tarEntry("a", "12345");
    const bytes = archive(tarEntry("PaxHeader", "10 size=3\n", "x"), [header, content, padding], tarEntry("b", "12"));
    expect((await indexTar(readerOf(bytes).reader)).entries.map((entry) => entry.lengthBytes)).toEqual([3, 2]);
  });

  it("passes over folders and links", async () => {
    const bytes = archive(tarEntry("d/", "", "5"), tarEntry("l", "", "2"), tarEntry("f", "x"));
    expect((await indexTar(readerOf(bytes).reader)).entries.map((entry) => entry.name)).toEqual(["f"]);
  });

  it("gives links the place of the file that they name, before or behind them", async () => {
    const link = (name: string, target: string, type: string) => {
      const [header = new Uint8Array(), ...rest] = tarEntry(name, "", type);
      return [withField(header, 157, target), ...rest];
    };
    const bytes = archive(
      link("early.png", "d/f.png", "1"),
      tarEntry("d/f.png", "pixels"),
      link("d/soft.png", "./f.png", "2"),
      link("e/up.png", "../d/soft.png", "2"),
      link("lost.png", "nowhere.png", "1"),
      link("round.png", "round.png", "2"),
      tarEntry("c.png", "12", "7"),
    );
    const { entries, leftOut } = await indexTar(readerOf(bytes).reader);
    const place = { offset: 1024, lengthBytes: 6 };
    expect(entries).toEqual([
      { name: "early.png", ...place },
      { name: "d/f.png", ...place },
      { name: "d/soft.png", ...place },
      { name: "e/up.png", ...place },
      { name: "c.png", offset: 4096, lengthBytes: 2 },
    ]);
    expect(leftOut).toEqual([
      { name: "lost.png", kind: "hard link to a file that the archive lacks" },
      { name: "round.png", kind: "symbolic link to a file that the archive lacks" },
    ]);
  });

  it("tells sparse files of both GNU forms, and steps over the list of holes", async () => {
    const [header = new Uint8Array(), ...data] = tarEntry("old.png", "12345", "S");
    const extended = Uint8Array.from(header);
    extended[482] = 1;
    const holes = new Uint8Array(512);
    const bytes = archive(
      [withField(extended, 157, ""), holes, ...data],
      tarEntry("PaxHeader", record("GNU.sparse.major=1") + record("GNU.sparse.name=new.png"), "x"),
      tarEntry("GNUSparseFile.0/new.png", "abc"),
      tarEntry("last.png", "x"),
    );
    const { entries, leftOut } = await indexTar(readerOf(bytes).reader);
    expect(entries.map(({ name }) => name)).toEqual(["last.png"]);
    expect(leftOut.map(({ name, kind }) => `${name}: ${kind}`)).toEqual([
      "old.png: sparse file",
      "new.png: sparse file",
    ]);
  });

  it("cuts pax records by their length, and applies a size to the next file only", async () => {
    const comment = "comment=first line\n99 path=evil.txt";
    const [header = new Uint8Array(), content = new Uint8Array(), padding = new Uint8Array()] = tarEntry("a", "12345");
    const bytes = archive(
      tarEntry("PaxHeader", record(comment) + record("size=3"), "x"),
      tarEntry("././@LongLink", `${"long/".repeat(30)}a.png\0`, "L"),
      tarEntry("pax_global_header", record("comment=of the archive"), "g"),
      [header, content, padding],
      tarEntry("b.png", "12"),
    );
    const { entries } = await indexTar(readerOf(bytes).reader);
    expect(entries.map(({ name, lengthBytes }) => [name, lengthBytes])).toEqual([
      [`${"long/".repeat(30)}a.png`, 3],
      ["b.png", 2],
    ]);
  });

  it.each([
    ["negative", "-0000000001\0"],
    ["no number", "size unknown"],
    ["decimal", "00000000189\0"],
  ])("refuses a size that is %s", async (_, size) => {
    const [header = new Uint8Array(), ...rest] = tarEntry("a", "12345");
    const reading = indexTar(readerOf(archive([withField(header, 124, size), ...rest])).reader);
    await expect(reading).rejects.toThrow(DataFormatError);
    await expect(reading).rejects.toThrow(/states the size/);
  });

  it("refuses a negative size in base 256, and pax sizes that are no sizes", async () => {
    const [header = new Uint8Array(), ...rest] = tarEntry("a", "12345");
    const negative = withField(header, 124, String.fromCharCode(...Array<number>(12).fill(0xff)));
    await expect(indexTar(readerOf(archive([negative, ...rest])).reader)).rejects.toThrow(/no file has/);
    for (const pax of ["11 size=-3\n", "12 size=1e9\n", "15 path=a.png\n", "x size=3\n"]) {
      const bytes = archive(tarEntry("PaxHeader", pax, "x"), tarEntry("a", "12345"));
      await expect(indexTar(readerOf(bytes).reader)).rejects.toThrow(DataFormatError);
    }
  });

  it("does not read the content of large files", async () => {
    const { reader, reads } = readerOf(tarOf({ a: new Uint8Array(2 ** 20), b: new Uint8Array(2 ** 20) }));
    await indexTar(reader);
    expect(reads.reduce((sum, bytes) => sum + bytes, 0)).toBeLessThan(2 ** 18);
  });

  it("refuses a damaged header and says where", async () => {
    const bytes = Buffer.from(tarOf({ a: "1", b: "2" }));
    bytes[1024 + 3] = 99;
    const reading = indexTar(readerOf(bytes).reader);
    await expect(reading).rejects.toThrow(DataFormatError);
    await expect(reading).rejects.toThrow(/at byte 1024/);
  });

  it("tells an archive from other bytes", () => {
    expect([isTar(tarOf({ a: "1" })), isTar(new Uint8Array(512)), isTar(new Uint8Array(5))]).toEqual([
      true,
      false,
      false,
    ]);
  });
});

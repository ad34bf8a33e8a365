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
const archive = (...entries: Uint8Array[][]) => Buffer.concat([...entries.flat(), new Uint8Array(1024)]);

describe("indexTar", () => {
  it("finds names, places and lengths", async () => {
    const bytes = tarOf({ "./a.txt": "hello", "b/c.txt": "x".repeat(600) });
    const entries = await indexTar(readerOf(bytes).reader);
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
    const entries = await indexTar(readerOf(bytes).reader);
    expect(entries.map((entry) => entry.name)).toEqual([long, `${long}-pax`, "short"]);
  });

  it("takes a size from pax attributes for one entry only", async () => {
    const [header = new Uint8Array(), content = new Uint8Array(), padding = new Uint8Array()] = tarEntry("a", "12345");
    const bytes = archive(tarEntry("PaxHeader", "11 size=3\n", "x"), [header, content, padding], tarEntry("b", "12"));
    expect((await indexTar(readerOf(bytes).reader)).map((entry) => entry.lengthBytes)).toEqual([3, 2]);
  });

  it("passes over folders and links", async () => {
    const bytes = archive(tarEntry("d/", "", "5"), tarEntry("l", "", "2"), tarEntry("f", "x"));
    expect((await indexTar(readerOf(bytes).reader)).map((entry) => entry.name)).toEqual(["f"]);
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

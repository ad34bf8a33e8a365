import { describe, expect, test } from "vitest";
import { memorySink } from "../../../engine/files/byte_sink.ts";
import { memorySource } from "../../../engine/files/byte_source.ts";
import { CorruptFileError, ForeignFileError, TruncatedFileError } from "../../../engine/files/errors.ts";
import { openZip } from "../../../engine/files/zip/zip_reader.ts";
import { ZipWriter } from "../../../engine/files/zip/zip_writer.ts";
import { type Entry, floats, open, small, tensorPickle, zip } from "./file_bytes.ts";
import { pickleBytes } from "./pickle_bytes.ts";

describe("zip archives", () => {
  test("are read with all values in 64 bits", async () => {
    const bytes = zip(
      [
        { name: "a/data.pkl", data: small, deflate: true },
        { name: "a/data/0", data: floats(2) },
      ],
      "zip64",
    );
    expect(Array.from(await (await open(bytes)).readAsF32(""))).toEqual([0, 1]);
  });

  test("with large compressed storages are streamed, forwards and transposed", async () => {
    const [rows, columns] = [3000, 1700]; // 20 MB: above the size that is inflated as a whole
    const data: Entry = { name: "data/0", data: floats(rows * columns), deflate: true };
    const straight = await open(
      zip([{ name: "data.pkl", data: tensorPickle(rows * columns, [rows, columns], [columns, 1]) }, data]),
    );
    const read = await straight.read("");
    expect(Buffer.compare(Buffer.from(read.data.buffer), Buffer.from(data.data))).toBe(0);
    const turned = await open(
      zip([{ name: "data.pkl", data: tensorPickle(rows * columns, [columns, rows], [1, columns]) }, data]),
    );
    const values = await turned.readAsF32("");
    for (const [i, j] of [
      [0, 1],
      [5, 2999],
      [1699, 7],
    ] as const)
      expect(values[i * rows + j]).toBe((j * columns + i) % 1000);
    const overlapping = zip([{ name: "data.pkl", data: tensorPickle(rows * columns, [rows, 5], [2, 1]) }, data]);
    await expect(open(overlapping)).rejects.toThrow("overlapping view of compressed data");
  });

  test("need all directories of long archives: more than 65535 entries are written in 64 bits", async () => {
    const sink = memorySink();
    const writer = new ZipWriter(sink);
    for (let i = 0; i < 65_540; i++) await writer.add(`${i}`, 0, async () => {});
    await writer.finish();
    const archive = await openZip(memorySource(sink.bytes()));
    expect(archive.entries.size).toBe(65_540);
  });

  test("refuse an entry of another size than announced", async () => {
    const writer = new ZipWriter(memorySink());
    await expect(writer.add("a", 2, (sink) => sink.write(Uint8Array.of(1)))).rejects.toThrow(
      "1 bytes were written to a, 2 announced",
    );
  });

  const pickle: Entry = { name: "data.pkl", data: small };
  const storage: Entry = { name: "data/0", data: floats(2) };
  const patched = (bytes: Uint8Array, sign: string, at: number, ...values: readonly number[]): Uint8Array => {
    const copy = bytes.slice();
    copy.set(values, Buffer.from(bytes).lastIndexOf(sign) + at);
    return copy;
  };
  const whole = zip([pickle, storage]);
  const cases: readonly (readonly [string, Uint8Array, new (message: string) => Error, string])[] = [
    ["without data.pkl", zip([storage]), ForeignFileError, "without data.pkl"],
    ["without a storage", zip([pickle]), TruncatedFileError, "lacks data/0"],
    [
      "with a storage of other size",
      zip([pickle, { ...storage, data: floats(3) }]),
      CorruptFileError,
      "has 12 bytes, the tensors in it declare 8",
    ],
    [
      "with big-endian data",
      zip([pickle, storage, { name: "byteorder", data: pickleBytes("big") }]),
      ForeignFileError,
      '"big"',
    ],
    [
      "with a long byte order",
      zip([pickle, storage, { name: "byteorder", data: floats(20) }]),
      CorruptFileError,
      "at most 64",
    ],
    ["that are encrypted", zip([{ ...pickle, flags: 1 }]), ForeignFileError, "encrypted"],
    ["of another compression", zip([{ ...pickle, method: 12 }]), ForeignFileError, "compression 12"],
    ["with an entry twice", zip([pickle, pickle]), CorruptFileError, "appears twice"],
    ["with stored data of two sizes", zip([{ ...pickle, declaredBytes: 9 }]), CorruptFileError, "claims 9 bytes"],
    [
      "with a bomb",
      zip([{ ...pickle, deflate: true, declaredBytes: 2 ** 31 }]),
      CorruptFileError,
      "damaged or malicious",
    ],
    [
      "with less compressed data than declared",
      zip([{ ...pickle, deflate: true, declaredBytes: 1000 }]),
      CorruptFileError,
      "ends before its 1000",
    ],
    [
      "with damaged compressed data",
      zip([{ ...pickle, data: new Uint8Array(100).fill(255), method: 8 }]),
      CorruptFileError,
      "compressed data is damaged",
    ],
    [
      "with more entries than the directory has",
      patched(whole, "PK\x05\x06", 10, 3),
      CorruptFileError,
      "zip directory",
    ],
    [
      "with a directory outside the file",
      patched(whole, "PK\x05\x06", 16, 255, 255, 255),
      TruncatedFileError,
      "outside",
    ],
    ["with a damaged directory", patched(whole, "PK\x01\x02", 0, 0), CorruptFileError, "directory is damaged"],
    [
      "with a name beyond the directory",
      patched(whole, "PK\x01\x02", 28, 255, 255),
      CorruptFileError,
      "directory is damaged",
    ],
    [
      "with an entry outside the file",
      patched(whole, "PK\x01\x02", 42, 255, 255, 255),
      TruncatedFileError,
      "lies outside",
    ],
    [
      "with an entry that starts elsewhere",
      patched(whole, "PK\x01\x02", 42, 1),
      CorruptFileError,
      "does not start where",
    ],
    ["without a directory", whole.slice(0, -1), TruncatedFileError, "directory at the end"],
  ];
  for (const [title, bytes, type, message] of cases) {
    test(`${title} are refused`, async () => {
      const error: unknown = await open(bytes)
        .then((checkpoint) => checkpoint.read(""))
        .catch((reason: unknown) => reason);
      expect(error).toBeInstanceOf(type);
      expect(String(error)).toContain(message);
    });
  }

  test("with a damaged 64-bit directory record are refused", async () => {
    const sink = memorySink();
    await sink.write(pickleBytes("PK\x03\x04", new Uint8Array(80)));
    await sink.write(pickleBytes("PK\x06\x07", new Uint8Array(16), "PK\x05\x06", new Uint8Array(18)));
    await expect(open(sink.bytes())).rejects.toThrow("zip64 directory record is damaged");
  });
});

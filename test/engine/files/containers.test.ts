import { deflateRawSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { memorySink } from "../../../engine/files/byte_sink.ts";
import { memorySource } from "../../../engine/files/byte_source.ts";
import { type Checkpoint, openCheckpoint } from "../../../engine/files/checkpoint.ts";
import { CorruptFileError, ForeignFileError, TruncatedFileError } from "../../../engine/files/errors.ts";
import { inflateSource } from "../../../engine/files/inflate.ts";
import { openZip } from "../../../engine/files/zip_reader.ts";
import { ZipWriter } from "../../../engine/files/zip_writer.ts";
import { littleEndian, numbersBytes, pickleBytes, storageBytes, textBytes } from "./pickle_bytes.ts";

const open = (bytes: Uint8Array): Promise<Checkpoint> => openCheckpoint(memorySource(bytes, "file"));

function safetensors(header: unknown, dataBytes = 0): Uint8Array {
  const json = new TextEncoder().encode(typeof header === "string" ? header : JSON.stringify(header));
  return pickleBytes(littleEndian(json.length, 8), json, new Uint8Array(dataBytes));
}

describe("safetensors headers are checked before anything is read", () => {
  const tensor = (shape: unknown, data_offsets: unknown, dtype: unknown = "F32"): unknown => ({
    a: { dtype, shape, data_offsets },
  });
  const cases: readonly (readonly [string, Uint8Array, new (message: string) => Error, string])[] = [
    ["a length beyond every file", pickleBytes(littleEndian(2 ** 60, 8), "{}"), CorruptFileError, "at most 100000000"],
    ["a length beyond this file", pickleBytes(littleEndian(1000, 8), "{}"), TruncatedFileError, "outside the 10 bytes"],
    ["text that is no JSON", safetensors('{"a'), CorruptFileError, "is not JSON"],
    ["text that is no UTF-8", pickleBytes(littleEndian(3, 8), '{"', 0xff), CorruptFileError, "is not JSON"],
    ["metadata that is no object", safetensors({ __metadata__: [] }), CorruptFileError, "not an object"],
    ["metadata that is no text", safetensors({ __metadata__: { a: 1 } }), CorruptFileError, '"a" is not text'],
    ["a tensor that is no object", safetensors({ a: 1 }), CorruptFileError, "not described by an object"],
    ["a tensor without dtype", safetensors(tensor([1], [0, 4], 7), 4), CorruptFileError, "has no dtype"],
    [
      "an unknown dtype",
      safetensors(tensor([1], [0, 1], "F8_E4M3"), 1),
      ForeignFileError,
      '"F8_E4M3", supported are F64',
    ],
    ["a shape that is no list", safetensors(tensor("1", [0, 4]), 4), CorruptFileError, "lacks shape"],
    ["offsets that are no numbers", safetensors(tensor([1], ["0", 4]), 4), CorruptFileError, "lacks shape"],
    ["a negative axis", safetensors(tensor([-1], [0, 4]), 4), CorruptFileError, "does not fit"],
    ["a broken axis", safetensors(tensor([0.5], [0, 2]), 2), CorruptFileError, "does not fit"],
    [
      "axes whose product overflows",
      safetensors(tensor([2 ** 40, 2 ** 40], [0, 4]), 4),
      CorruptFileError,
      "does not fit",
    ],
    ["offsets in reverse", safetensors(tensor([1], [4, 0]), 4), CorruptFileError, "does not fit"],
    ["one offset", safetensors(tensor([1], [0]), 4), CorruptFileError, "does not fit"],
    ["negative offsets", safetensors(tensor([1], [-4, 0]), 4), CorruptFileError, "does not fit"],
    ["a gap", safetensors(tensor([1], [4, 8]), 8), CorruptFileError, "has a gap"],
    [
      "an overlap",
      safetensors(
        { a: { dtype: "U8", shape: [4], data_offsets: [0, 4] }, b: { dtype: "U8", shape: [4], data_offsets: [2, 6] } },
        6,
      ),
      CorruptFileError,
      "overlaps at byte 2",
    ],
    ["too little data", safetensors(tensor([2], [0, 8]), 7), TruncatedFileError, "8 bytes of tensor data declared, 7"],
    ["too much data", safetensors(tensor([1], [0, 4]), 5), CorruptFileError, "1 bytes follow"],
  ];
  for (const [title, bytes, type, message] of cases) {
    test(title, async () => {
      await expect(open(bytes)).rejects.toThrow(type);
      await expect(open(bytes)).rejects.toThrow(message);
    });
  }
  test("a list instead of an object is not taken for safetensors", async () => {
    await expect(open(safetensors("[]"))).rejects.toThrow(ForeignFileError);
  });
});

describe(".npy headers are checked before anything is read", () => {
  const npy = (dictionary: string, dataBytes: number, version = 1): Uint8Array =>
    pickleBytes(
      "\x93NUMPY",
      version,
      0,
      littleEndian(dictionary.length, version === 1 ? 2 : 4),
      dictionary,
      new Uint8Array(dataBytes),
    );
  const dictionary = (descr = "<f4", shape = "2,"): string =>
    `{'descr': '${descr}', 'fortran_order': False, 'shape': (${shape}), }\n`;

  test("versions 1 to 3 are read", async () => {
    for (const version of [1, 2, 3])
      expect((await open(npy(dictionary(), 8, version))).tensors.get("")?.shape).toEqual([2]);
  });
  const cases: readonly (readonly [string, Uint8Array, new (message: string) => Error, string])[] = [
    ["a file that ends in the header", pickleBytes("\x93NUMPY", 1), TruncatedFileError, "cut off"],
    ["version 4", npy(dictionary(), 8, 4), ForeignFileError, "version 4"],
    ["a long header", npy(dictionary() + " ".repeat(20_000), 8), CorruptFileError, "header of 200"],
    [
      "structured elements",
      npy("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,), }", 4),
      ForeignFileError,
      "plain array",
    ],
    ["big-endian elements", npy(dictionary(">f4"), 8), ForeignFileError, '">f4", supported are'],
    ["Python objects", npy(dictionary("|O"), 8), ForeignFileError, '"|O"'],
    ["too little data", npy(dictionary(), 7), TruncatedFileError, "needs 8 bytes, 7"],
    ["too much data", npy(dictionary(), 9), CorruptFileError, "1 bytes follow"],
    [
      "an enormous shape",
      npy(dictionary("<f4", "99999999999, 99999999999"), 8),
      TruncatedFileError,
      "needs Infinity bytes",
    ],
  ];
  for (const [title, bytes, type, message] of cases) {
    test(title, async () => {
      await expect(open(bytes)).rejects.toThrow(type);
      await expect(open(bytes)).rejects.toThrow(message);
    });
  }
});

interface Entry {
  readonly name: string;
  readonly data: Uint8Array;
  readonly deflate?: boolean;
  readonly flags?: number;
  readonly method?: number;
  readonly declaredBytes?: number;
}

/** An archive as other programs write it: sizes in the local headers, or all values in 64 bits in the directory. */
function zip(entries: readonly Entry[], form: "plain" | "zip64" = "plain"): Uint8Array {
  const locals: Uint8Array[] = [];
  const centrals: Uint8Array[] = [];
  let offset = 0;
  for (const {
    name,
    data,
    deflate = false,
    flags = 0,
    method = deflate ? 8 : 0,
    declaredBytes = data.length,
  } of entries) {
    const stored = deflate ? new Uint8Array(deflateRawSync(data)) : data;
    const sizes = pickleBytes(littleEndian(stored.length, 4), littleEndian(declaredBytes, 4));
    const local = pickleBytes(
      "PK\x03\x04",
      20,
      0,
      flags,
      0,
      method,
      0,
      new Uint8Array(8),
      sizes,
      name.length,
      0,
      0,
      0,
      name,
      stored,
    );
    const extra =
      form === "zip64"
        ? pickleBytes(
            "XX",
            0,
            0,
            1,
            0,
            24,
            0,
            littleEndian(declaredBytes, 8),
            littleEndian(stored.length, 8),
            littleEndian(offset, 8),
          )
        : pickleBytes();
    const escaped = form === "zip64" ? new Uint8Array(8).fill(255) : sizes;
    const where = form === "zip64" ? new Uint8Array(4).fill(255) : littleEndian(offset, 4);
    centrals.push(
      pickleBytes(
        "PK\x01\x02",
        45,
        0,
        20,
        0,
        flags,
        0,
        method,
        0,
        new Uint8Array(8),
        escaped,
        name.length,
        0,
        extra.length,
        0,
        new Uint8Array(10),
        where,
        name,
        extra,
      ),
    );
    locals.push(local);
    offset += local.length;
  }
  const directory = pickleBytes(...centrals);
  const count = littleEndian(entries.length, 2);
  return pickleBytes(
    ...locals,
    directory,
    "PK\x05\x06",
    new Uint8Array(4),
    count,
    count,
    littleEndian(directory.length, 4),
    littleEndian(offset, 4),
    0,
    0,
  );
}

const floats = (count: number): Uint8Array =>
  new Uint8Array(Float32Array.from({ length: count }, (_, i) => i % 1000).buffer);

/** A pickle of one float tensor over storage "0". */
function tensorPickle(size: number, shape: readonly number[], strides: readonly number[]): Uint8Array {
  return pickleBytes(
    "ctorch._utils\n_rebuild_tensor_v2\n(",
    storageBytes("FloatStorage", size),
    "K",
    0,
    numbersBytes(...shape),
    numbersBytes(...strides),
    "\x89)tR.",
  );
}
const small = tensorPickle(2, [2], [1]);

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

describe("a compressed stream", () => {
  const data = Uint8Array.from({ length: 300_000 }, (_, i) => (i * i) % 251);
  const source = (): ReturnType<typeof inflateSource> =>
    inflateSource(memorySource(new Uint8Array(deflateRawSync(data))), data.length);
  test("is read onwards, skipping, and back", async () => {
    const stream = source();
    for (const [offset, length] of [
      [0, 10],
      [10, 5],
      [200_000, 70_000],
      [3, 4],
      [299_999, 1],
      [0, 300_000],
    ] as const) {
      expect(
        Buffer.compare(
          Buffer.from(await stream.read(offset, length)),
          Buffer.from(data.subarray(offset, offset + length)),
        ),
      ).toBe(0);
    }
    await expect(stream.read(299_999, 2)).rejects.toThrow(TruncatedFileError);
    await stream.close();
  });
  test("can be closed half way", async () => {
    const stream = source();
    await stream.read(0, 1);
    await stream.close();
  });
});

describe("the container before zip", () => {
  const magic = pickleBytes("\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.");
  const version = (value = 1001): Uint8Array => pickleBytes("\x80\x02M", littleEndian(value, 2), ".");
  const system = (little = "\x88"): Uint8Array => pickleBytes("\x80\x02}", textBytes("little_endian"), little, "s.");
  const keys = (...names: readonly string[]): Uint8Array => pickleBytes("\x80\x02](", ...names.map(textBytes), "e.");
  const head = pickleBytes(magic, version(), system());
  const data = pickleBytes(littleEndian(2, 8), floats(2));

  test("is read, also with a pickle longer than what is read at first", async () => {
    const filler = pickleBytes("(", textBytes("x".repeat(100_000)), small.subarray(0, -1), "t.");
    const checkpoint = await open(pickleBytes(head, filler, keys("0"), data));
    expect(checkpoint.format).toBe("pytorch-legacy");
    expect(Array.from(await checkpoint.readAsF32("1"))).toEqual([0, 1]);
  });
  test("finds tensors in a view of a storage", async () => {
    const view = pickleBytes("(", textBytes("v"), "K", 1, "K", 1, "t");
    const tensor = pickleBytes(
      "ctorch._utils\n_rebuild_tensor_v2\n(",
      storageBytes("FloatStorage", 2, view),
      "K",
      0,
      numbersBytes(1),
      numbersBytes(1),
      "\x89)tR.",
    );
    expect(Array.from(await (await open(pickleBytes(head, tensor, keys("0"), data))).readAsF32(""))).toEqual([1]);
  });
  const cases: readonly (readonly [string, Uint8Array, new (message: string) => Error, string])[] = [
    ["a pickle of something else", pickleBytes("\x80\x02}."), ForeignFileError, "not one of torch.save"],
    ["another version", pickleBytes(magic, version(1002)), ForeignFileError, "container version 1002"],
    ["big-endian data", pickleBytes(magic, version(), system("\x89")), ForeignFileError, "big-endian"],
    ["a damaged description", pickleBytes(magic, version(), "N."), CorruptFileError, "description of the machine"],
    ["an unknown storage", pickleBytes(head, small, keys("1"), data), CorruptFileError, "does not match"],
    ["a storage twice", pickleBytes(head, small, keys("0", "0"), data, data), CorruptFileError, "does not match"],
    ["no list of storages", pickleBytes(head, small, "N.", data), TruncatedFileError, 'storage "0" is missing'],
    [
      "a storage of another size",
      pickleBytes(head, small, keys("0"), littleEndian(3, 8), floats(3)),
      CorruptFileError,
      "has 3 elements",
    ],
    [
      "a storage that is cut off",
      pickleBytes(head, small, keys("0"), data.subarray(0, -1)),
      TruncatedFileError,
      "outside",
    ],
    ["nothing after the first pickle", magic, TruncatedFileError, "goes on beyond the end"],
  ];
  for (const [title, bytes, type, message] of cases) {
    test(`refuses ${title}`, async () => {
      await expect(open(bytes)).rejects.toThrow(type);
      await expect(open(bytes)).rejects.toThrow(message);
    });
  }
});

describe("strangers are named", () => {
  const cases: readonly (readonly [string, string])[] = [
    ["version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"],
    ["\x1f\x8b\x08", "gzip"],
    ["\x89HDF\r\n", "HDF5"],
    ["GGUF", "GGUF"],
    ["hello", "neither safetensors nor"],
  ];
  for (const [text, message] of cases) {
    test(message, async () => {
      await expect(open(pickleBytes(text))).rejects.toThrow(ForeignFileError);
      await expect(open(pickleBytes(text))).rejects.toThrow(message);
    });
  }
});

test("reading one tensor reads its bytes and a local header, not the rest of the file", async () => {
  const rest: Entry = { name: "data/1", data: floats(1_000_000) };
  const file = memorySource(zip([{ name: "data.pkl", data: small }, rest, { name: "data/0", data: floats(2) }]));
  let bytesRead = 0;
  const counting = {
    ...file,
    async read(offset: number, length: number) {
      bytesRead += length;
      return file.read(offset, length);
    },
  };
  const checkpoint = await openCheckpoint(counting);
  expect(bytesRead).toBeLessThan(70_000); // the directory is looked for in the last 64 KiB
  bytesRead = 0;
  await checkpoint.read("");
  expect(bytesRead).toBe(30 + 8);
});

test("a source is closed when it cannot be opened, and by the checkpoint otherwise", async () => {
  let closed = 0;
  const source = (bytes: Uint8Array): ReturnType<typeof memorySource> => ({
    ...memorySource(bytes),
    close: async () => void closed++,
  });
  await expect(openCheckpoint(source(pickleBytes("no")))).rejects.toThrow();
  expect(closed).toBe(1);
  await (await openCheckpoint(source(safetensors({})))).close();
  expect(closed).toBe(2);
});

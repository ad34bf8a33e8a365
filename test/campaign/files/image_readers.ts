import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import sharp from "sharp";
import { crc32 } from "../../../engine/files/zip/crc32.ts";
import { decodeImage } from "../../../refiner/data/decoding/decode_node.ts";
import { openImages } from "../../../refiner/data/sources/open_images_node.ts";
import { tarEntry, tarOf } from "../../refiner/data/tar_of.ts";
import type { Reader, ReaderRecipe } from "./reader.ts";

const side = 20;

/** A picture of waves, so that files are short and hold something. */
function picture(channels: 1 | 3 | 4 = 3) {
  const data = Uint8Array.from({ length: side * side * channels }, (_, i) => 127 + 120 * Math.sin(i / 7));
  return sharp(data, { raw: { width: side, height: side, channels } });
}

/** Files of one format, decoded at their size and reduced. */
function decoded(name: string, share: number, files: () => Promise<readonly Uint8Array[]>): ReaderRecipe {
  const open = async (folder: string): Promise<Reader> => ({
    originals: await files(),
    ...(name === "png" ? { repaired: withPngChecksums } : {}),
    read: async (bytes) => {
      try {
        await decodeImage({ bytes }, { channels: 3, resizeTo: 16, maxPixels: 4096 });
      } catch (error) {
        // The decoder gives its reason in a plain error, which the loader makes a BrokenImageError of: see `decodeImage`.
        if (error instanceof Error && error.constructor === Error) return "broken image";
        throw error;
      }
      return openedFile(join(folder, "image"), bytes);
    },
  });
  return { name, share, open };
}

/** Opens a data set file as commands do, asks for all names and labels and loads the first images. */
async function openedFile(path: string, bytes: Uint8Array): Promise<string> {
  await writeFile(path, bytes);
  const source = await openImages(path, { workers: 0 });
  try {
    for (let i = 0; i < Math.min(source.length, 10_000); i++) {
      source.name(i);
      source.label(i);
    }
    for (let i = 0; i < Math.min(source.length, 2); i++) await source.load(i, { resizeTo: 16, maxPixels: 4096 });
    return "read";
  } finally {
    await source.close?.();
  }
}

const formats: readonly ReaderRecipe[] = [
  decoded("jpeg", 4, async () => [
    await picture().jpeg().toBuffer(),
    await picture(1).jpeg({ progressive: true }).toBuffer(),
    await picture(4).pipelineColourspace("cmyk").toColourspace("cmyk").jpeg().toBuffer(),
    await picture().withMetadata({ orientation: 6 }).jpeg().toBuffer(),
  ]),
  decoded("png", 4, async () => [
    await picture().png().toBuffer(),
    await picture().png({ palette: true }).toBuffer(),
    await picture(4).png({ progressive: true }).toBuffer(),
    await picture(1).toColourspace("grey16").png().toBuffer(),
  ]),
  decoded("tiff", 4, async () => [
    await picture().tiff().toBuffer(),
    await picture(1).tiff({ compression: "lzw", predictor: "horizontal" }).toBuffer(),
    floatTiff(),
    await picture().tiff({ compression: "deflate", tile: true, tileWidth: 16, tileHeight: 16 }).toBuffer(),
  ]),
  decoded("webp", 2, async () => [
    await picture().webp().toBuffer(),
    await picture(4).webp({ lossless: true }).toBuffer(),
  ]),
  decoded("gif", 2, async () => [await picture().gif().toBuffer()]),
  decoded("avif", 1, async () => [await picture().avif({ effort: 0 }).toBuffer()]),
];

/** Floats beyond 0 … 1 with the range that they declare (TIFF 6.0), in one strip behind the directory. */
function floatTiff(): Uint8Array {
  const entries: readonly (readonly [tag: number, type: number, value: number])[] = [
    [256, 3, side],
    [257, 3, side],
    [258, 3, 32],
    [259, 3, 1],
    [262, 3, 1],
    [273, 4, 0], // set below
    [277, 3, 1],
    [278, 3, side],
    [279, 4, 4 * side * side],
    [339, 3, 3],
    [340, 11, -50],
    [341, 11, 400],
  ];
  const start = 8 + 2 + 12 * entries.length + 4;
  const file = Buffer.alloc(start + 4 * side * side);
  file.write("II*\0", "latin1");
  file.writeUInt32LE(8, 4);
  file.writeUInt16LE(entries.length, 8);
  for (const [i, [tag, type, value]] of entries.entries()) {
    const at = 10 + 12 * i;
    file.writeUInt16LE(tag, at);
    file.writeUInt16LE(type, at + 2);
    file.writeUInt32LE(1, at + 4);
    if (type === 11) file.writeFloatLE(value, at + 8);
    else file.writeUInt32LE(tag === 273 ? start : value, at + 8);
  }
  for (let i = 0; i < side * side; i++) file.writeFloatLE(180 + 180 * Math.sin(i / 9), start + 4 * i);
  return file;
}

/** A data set in one file. */
function dataSet(name: string, share: number, files: () => Promise<readonly Uint8Array[]>, words?: readonly string[]) {
  const open = async (folder: string): Promise<Reader> => {
    for (const image of ["a.png", "b.png"]) await picture().png().toFile(join(folder, image));
    return {
      originals: await files(),
      ...(words ? { words } : {}),
      isJson: name === "json lines",
      ...(name === "tar" ? { repaired: withTarChecksums } : {}),
      read: (bytes) => openedFile(join(folder, "set"), bytes),
    };
  };
  return { name, share, open };
}

function idx(shape: readonly number[]): Uint8Array {
  const header = Buffer.alloc(4 + 4 * shape.length);
  header.writeUInt32BE(0x800 + shape.length);
  for (const [axis, size] of shape.entries()) header.writeUInt32BE(size, 4 + 4 * axis);
  const length = shape.reduce((product, size) => product * size, 1);
  return Buffer.concat([header, Uint8Array.from({ length }, (_, i) => i * 7)]);
}

function cifarRows(labels: readonly number[][]): Uint8Array {
  return Buffer.concat(labels.flatMap((row) => [Buffer.from(row), Buffer.alloc(3072, row[0])]));
}

async function archives(): Promise<Uint8Array[]> {
  const png = await picture().png().toBuffer();
  const shard = tarOf({ "1.png": png, "1.cls": "3", "1.json": '{"label": 3}', "2.png": png, "2.cls": "0" });
  const folders = tarOf({ "./train/cat/a.png": png, "train/dog/b.png": png, "train/notes.txt": "x" });
  const long = `${"folder/".repeat(20)}image.png`;
  const odd = Buffer.concat([
    ...tarEntry("././@LongLink", `${long}\0`, "L"),
    ...tarEntry(long, png),
    ...tarEntry("PaxHeader", `22 path=cat/image.png\n12 size=${png.length}\n`, "x"),
    ...tarEntry("short", png),
    ...tarEntry("link.png", "", "1"),
    new Uint8Array(1024),
  ]);
  return [shard, folders, odd, tarOf({ "inner.tar": folders })];
}

/** Every block that looks like a header gets the checksum of its bytes. */
function withTarChecksums(bytes: Uint8Array): Uint8Array {
  const archive = Buffer.from(bytes);
  for (let at = 0; at + 512 <= archive.length; at += 512) {
    const header = archive.subarray(at, at + 512);
    if (header.subarray(257, 262).toString("latin1") !== "ustar") continue;
    header.write(" ".repeat(8), 148);
    const sum = header.reduce((total, byte) => total + byte, 0);
    header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
  }
  return archive;
}

/** PNG's chunks get the checksums of their bytes. */
function withPngChecksums(bytes: Uint8Array): Uint8Array {
  const file = Buffer.from(bytes);
  for (let at = 8; at + 12 <= file.length; ) {
    const end = at + 8 + file.readUInt32BE(at);
    if (end + 4 > file.length) break;
    file.writeUInt32BE(crc32(file.subarray(at + 4, end)), end);
    at = end + 4;
  }
  return file;
}

const text =
  (...files: readonly string[]) =>
  async () =>
    files.map((file) => new TextEncoder().encode(file));
const listWords = [
  ",",
  "\t",
  "\n",
  '"',
  '""',
  "\r\n",
  "path",
  "label",
  "class",
  "-1",
  "007",
  "3e9",
  "../",
  "a.png",
  "{",
  "[",
  "null",
  "NUL\0",
  "é",
];

export const imageReaders: readonly ReaderRecipe[] = [
  dataSet("tar", 6, archives, [
    "ustar",
    "PaxHeader",
    "path=",
    "size=",
    "GNU.sparse.size=",
    "0000644",
    "77777777777",
    "1.png",
    "L",
    "S",
  ]),
  dataSet("idx", 4, async () => [idx([3, 5, 5]), idx([2, 4, 4, 3]), gzipSync(idx([3, 5, 5]))]),
  dataSet("cifar", 2, async () => [
    cifarRows([[3], [9], [0]]),
    cifarRows([
      [3, 99],
      [19, 0],
    ]),
  ]),
  dataSet(
    "csv list",
    4,
    text("path,label\na.png,cat\nb.png,dog\n", "a.png\t1\nb.png\t0\n", 'file,class\n"a.png","x, ""y"""\nb.png,\n'),
    listWords,
  ),
  dataSet(
    "json lines",
    4,
    text('{"path": "a.png", "label": "cat"}\n{"path": "b.png", "label": 2}\n{"image": "a.png"}\n'),
    listWords,
  ),
  ...formats,
];

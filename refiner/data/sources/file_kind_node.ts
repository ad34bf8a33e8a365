import { constants, gunzipSync } from "node:zlib";
import { cifarLayout } from "./cifar.ts";
import { withFile } from "./file_reader_node.ts";
import { isGzip } from "./gunzip.ts";
import { idxRank } from "./idx.ts";
import { isTar } from "./tar.ts";

/** What a file holds, as its first bytes tell; a stranger is what people give by mistake. */
export type FileKind =
  | "image"
  | "tar"
  | "idx"
  | "cifar"
  | "gzip"
  | "packed tar"
  | "stranger"
  | "list"
  | "unknown"
  | "empty";

/** Strangers by their first bytes, with what to do about them. */
const strangers: readonly (readonly [signs: readonly string[], advice: string])[] = [
  [["PK\x03\x04"], "a zip archive; unpack it, and give the folder"],
  [
    ["BZh", "\xfd7zXZ", "7z\xbc\xaf", "Rar!", "\x28\xb5\x2f\xfd"],
    "a compressed archive; unpack it, and give the folder",
  ],
  [["<?xml", "<!doctype", "<html", "<svg"], "XML or HTML, such as an SVG drawing; convert it to PNG or JPEG"],
];

/** What to do about a file that is a stranger; undefined for others. */
export function strangerAdvice(bytes: Uint8Array): string | undefined {
  const start = String.fromCharCode(...bytes.subarray(0, 64));
  if (/^.{4}ftyp(hei|hev|mif|msf)/s.test(start)) return "a HEIC picture; convert it to PNG or JPEG";
  const text = start.trimStart().toLowerCase();
  const found = strangers.find(([signs]) => signs.some((sign) => start.startsWith(sign) || text.startsWith(sign)));
  return found?.[1];
}

/** @throws UnreadableDataError */
export function fileKind(path: string): Promise<FileKind> {
  return withFile(path, async (reader) => kindOf(await reader.read(0, 4096), reader.sizeBytes));
}

/** In the order in which they are asked. */
const kinds: readonly (readonly [kind: FileKind, test: (first: Uint8Array, sizeBytes: number) => boolean])[] = [
  ["empty", (first) => first.length === 0],
  ["tar", isTar],
  ["idx", (first) => idxRank(first) !== undefined],
  ["packed tar", (first) => isGzip(first) && isTar(unpackedBeginning(first))],
  ["gzip", isGzip],
  ["image", isImage],
  ["stranger", (first) => strangerAdvice(first) !== undefined],
  ["cifar", (first, sizeBytes) => cifarLayout(first, sizeBytes) !== undefined],
  ["list", (first) => !first.includes(0)],
];

function kindOf(first: Uint8Array, sizeBytes: number): FileKind {
  return kinds.find(([, test]) => test(first, sizeBytes))?.[0] ?? "unknown";
}

/** What a piece of a gzip file holds, as far as it goes. */
function unpackedBeginning(piece: Uint8Array): Uint8Array {
  try {
    return gunzipSync(piece, { finishFlush: constants.Z_SYNC_FLUSH, maxOutputLength: 2 ** 23 });
  } catch {
    return new Uint8Array(); // damaged, which its reader tells
  }
}

// First bytes of JPEG, PNG, GIF, TIFF (both byte orders), WebP, AVIF.
function isImage(bytes: Uint8Array): boolean {
  const start = String.fromCharCode(...bytes.subarray(0, 12));
  return /^(\xff\xd8\xff|\x89PNG|GIF8|II\*\0|MM\0\*|RIFF.{4}WEBP|.{4}ftypavi[fs])/s.test(start);
}

import { readdir, readFile, stat } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { type DecoderOptions, openDecoder } from "../decoding/decoder_pool_node.ts";
import { openCifar, openIdx, type Split } from "../decoding/stored_pixels_node.ts";
import { DataFormatError, NoImagesError } from "../errors.ts";
import type { ImageDecoder, ImageSource } from "../image_source.ts";
import { isNoLabel } from "./class_labels.ts";
import { encodedImages, type ImageRecord } from "./encoded_images.ts";
import { type FileKind, fileKind, strangerAdvice } from "./file_kind_node.ts";
import { readable, specialKind, withFile } from "./file_reader_node.ts";
import { folderContent } from "./folder_node.ts";
import { hasArchiveName, hasForeignImageName, hasImageName } from "./image_names.ts";
import { endingOf, LeftOut } from "./left_out.ts";
import { parseList } from "./list.ts";
import { type ShardImage, shardImages, tarRecords } from "./tar_records.ts";

export interface OpenImagesOptions extends DecoderOptions {
  /** Which part, where a path holds both (MNIST's train/t10k, CIFAR's batches). Default "train". */
  readonly split?: Split;
  /** Channels to decode to; stored pixels (IDX, CIFAR) keep theirs. Default 3. */
  readonly channels?: 1 | 3;
  /** A decoder to share between sources; closing a source then leaves it open. Else one is opened with `workers`. */
  readonly decoder?: ImageDecoder;
  /** Names of classes that a folder may have, such as those of the training images: one folder of these alone is a class, too. */
  readonly classNames?: Iterable<string>;
  /** Which image of a WebDataset sample is meant where it has several, such as `jpg` or `image.png`. */
  readonly imageKey?: string;
}

/** Records of a data set, and what a user should know of it. */
interface Found {
  readonly records: readonly ImageRecord[];
  readonly notices?: readonly string[];
}

/**
 * Opens a data set by what the path contains: a folder of images (`CLASS/…/x.jpg`, or flat), an IDX file or a folder
 * of them, CIFAR binary files, a tar or WebDataset shard or a folder of shards, a CSV or JSON-lines list of paths,
 * or a single image. Close the source when done: it may hold threads.
 *
 * @throws UnreadableDataError, NoImagesError, DataFormatError, DecoderError
 */
export async function openImages(path: string, options: OpenImagesOptions = {}): Promise<ImageSource> {
  const { split = "train" } = options;
  const found = await readable(path, () => stat(path));
  if (!found.isDirectory()) {
    const kind = await fileKind(path);
    if (kind === "idx" || kind === "gzip") return openIdx([path], split);
    if (kind === "cifar") return openCifar([path], split);
    return decoded(path, await fileRecords(path, kind, options), options);
  }
  const files = await filesOf(path);
  if (!files.some(hasImageName)) {
    const { tar, idx, cifar } = await storedFiles(files);
    if (tar.length > 0) return decoded(path, await shardRecords(tar, options, await besideShards(path, tar)), options);
    if (idx.length > 0) return openIdx(idx, split);
    if (cifar.length > 0) return openCifar(cifar, split);
  }
  const content = await folderContent(path, new Set(options.classNames));
  if (content.records.length === 0) throw new NoImagesError(emptyFolder(path, files, content.notices));
  return decoded(path, content, options);
}

function decoded(path: string, { records, notices }: Found, options: OpenImagesOptions): ImageSource {
  if (records.length === 0) throw new NoImagesError(`images: ${path} names no image; check its content`);
  const shared = options.decoder && { decode: options.decoder.decode.bind(options.decoder), close: async () => {} };
  const { channels } = options;
  return encodedImages(path, records, shared ?? openDecoder(options), { channels, notices });
}

async function filesOf(folder: string): Promise<string[]> {
  const entries = await readable(folder, () => readdir(folder, { withFileTypes: true }));
  const files: string[] = [];
  for (const entry of entries) {
    const path = join(folder, entry.name);
    const kind = entry.isSymbolicLink() ? await stat(path).catch(() => undefined) : entry;
    if (kind?.isFile() && !entry.name.startsWith(".")) files.push(path);
  }
  return files.sort();
}

// Data sets that are stored in few files have them at the top of their folder.
async function storedFiles(files: readonly string[]): Promise<Record<"tar" | "idx" | "cifar", string[]>> {
  const stored = { tar: [] as string[], idx: [] as string[], cifar: [] as string[] };
  for (const file of files) {
    const kind = await fileKind(file);
    if (kind === "tar" || kind === "idx" || kind === "cifar") stored[kind].push(file);
    else if (kind === "gzip" && /idx|ubyte/.test(file)) stored.idx.push(file);
  }
  return stored;
}

/** What lies beside the shards of a folder and may have been meant, too: packed archives, pictures of other kinds, pipes, folders. */
async function besideShards(folder: string, shards: readonly string[]): Promise<LeftOut> {
  const leftOut = new LeftOut();
  const known = new Set(shards);
  for (const entry of await readable(folder, () => readdir(folder))) {
    const path = join(folder, entry);
    if (entry.startsWith(".") || known.has(path)) continue;
    const special = await stat(path).then(specialKind, () => "link to nothing");
    if (special !== undefined) leftOut.add(special, entry);
    else if (hasArchiveName(entry) || hasForeignImageName(entry)) leftOut.add(endingOf(entry), entry);
  }
  return leftOut;
}

async function fileRecords(path: string, kind: FileKind, options: OpenImagesOptions): Promise<Found> {
  if (kind === "image") return { records: [{ name: path, class: undefined, encoded: { path } }] };
  if (kind === "tar") return shardRecords([path], options);
  if (kind === "list") return listRecords(path);
  if (kind === "packed tar")
    throw new DataFormatError(
      `images: ${path} is a compressed tar archive, which cannot be read by ranges; unpack it first (tar xf) and give the folder, or decompress it (gunzip) and give the .tar`,
    );
  if (kind === "stranger") {
    const advice = strangerAdvice(await withFile(path, (reader) => reader.read(0, 64)));
    throw new DataFormatError(`images: ${path} is ${advice}`);
  }
  if (kind === "empty") throw new NoImagesError(`images: ${path} is empty; fetch it again`);
  throw new DataFormatError(
    `images: ${path} is of no known kind; give a folder of images, IDX, CIFAR binary, tar, a CSV or JSON-lines list, or an image`,
  );
}

async function shardRecords(
  paths: readonly string[],
  options: OpenImagesOptions,
  leftOut = new LeftOut(),
): Promise<Found> {
  const images: (ShardImage & { path: string })[] = [];
  for (const path of paths) {
    const shard = await withFile(path, (reader) => shardImages(reader, options));
    for (const image of shard.images) images.push({ ...image, path });
    for (const { name, kind } of shard.leftOut) leftOut.add(kind, name);
  }
  const [first = ""] = paths;
  const origin = paths.length > 1 ? `${paths.length} archives such as ${first}` : first;
  const line = leftOut.line(origin, "unpack the archive, convert pictures to PNG or JPEG, or choose with --image-key");
  return { records: tarRecords(images, new Set(options.classNames)), notices: line === undefined ? [] : [line] };
}

async function listRecords(path: string): Promise<Found> {
  const listed = parseList(await readable(path, () => readFile(path, "utf8")), path);
  const records = listed.map((image) => {
    const file = resolve(dirname(path), image.path);
    return { name: file, class: image.class, encoded: { path: file } };
  });
  return { records, notices: repeatedNotices(path, records) };
}

/** An image may be listed twice, but not as two classes. @throws DataFormatError */
function repeatedNotices(list: string, records: readonly ImageRecord[]): string[] {
  const classes = new Map<string, string>();
  const repeated: string[] = [];
  for (const { name, class: stated } of records) {
    const text = isNoLabel(stated) ? "none" : JSON.stringify(stated);
    const before = classes.get(name);
    if (before !== undefined && before !== text)
      throw new DataFormatError(
        `list: ${list} names ${name} twice, with the classes ${before} and ${text}; keep one of the lines`,
      );
    if (before === undefined) classes.set(name, text);
    else repeated.push(name);
  }
  const [some] = repeated;
  if (some === undefined) return [];
  const lines = repeated.length === 1 ? "1 line of" : `${repeated.length} lines of`;
  return [`${lines} ${list} name an image again (such as ${some}), which counts as often as it is named`];
}

function emptyFolder(path: string, files: readonly string[], notices: readonly string[]): string {
  const seen =
    files.length === 0 ? "its top holds no file" : `its top holds ${files.length} files, such as ${files[0]}`;
  return `images: ${path} holds no image (${seen}); give a folder with JPEG, PNG, WebP, TIFF, GIF or AVIF files, IDX, CIFAR or tar${notices.map((line) => ` (${line})`).join("")}`;
}

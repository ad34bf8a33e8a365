import { DataFormatError } from "../errors.ts";
import type { RangeReader } from "./range_reader.ts";
import {
  checksumFits,
  fieldText,
  parseTarHeader,
  paxAttributes,
  paxSize,
  type TarHeader,
  tarBlockBytes,
} from "./tar_header.ts";
import { type LeftOutMember, type Link, resolveLinks, type TarEntry, type TarIndex } from "./tar_links.ts";

export type { LeftOutMember, TarEntry, TarIndex };

const windowBytes = 32 * 1024; // a read serves the headers of small entries that follow one another
/** Names and attributes of one entry; real ones take some hundred bytes, extended attributes some thousand. */
const mostAttributeBytes = 2 ** 20;
/** Archives within archives; ImageNet's training archive has one level. */
const mostLevels = 8;

/** Whether the bytes begin as a tar archive; needs the first 512. */
export function isTar(bytes: Uint8Array): boolean {
  return bytes.length >= tarBlockBytes && checksumFits(bytes.subarray(0, tarBlockBytes));
}

/**
 * Lists the files of a tar archive by reading its headers only; a link within the archive stands for the file that it names. An
 * archive within the archive is listed in its place, under its name without `.tar` (as in the training archive of ImageNet, one
 * archive per class).
 *
 * @throws DataFormatError if the archive is damaged or cut off
 */
export async function indexTar(reader: RangeReader): Promise<TarIndex> {
  const members: Members = { entries: [], links: [], leftOut: [] };
  await indexRange(new Window(reader), { from: 0, to: reader.sizeBytes, folder: "", level: 0 }, members);
  const { leftOut, links } = members;
  const { entries, replaced } = lastOfEachName(members.entries, links);
  const resolved = resolveLinks(entries, links);
  return { entries: resolved.entries, leftOut: [...leftOut, ...replaced, ...resolved.leftOut] };
}

/** An archive that was updated (`tar --append`) holds files twice; the later one counts, as it does in unpacking. */
function lastOfEachName(entries: TarEntry[], links: Link[]): { entries: TarEntry[]; replaced: LeftOutMember[] } {
  const last = new Map(entries.map((entry) => [entry.name, entry]));
  if (last.size === entries.length) return { entries, replaced: [] };
  const kept = entries.filter((entry) => last.get(entry.name) === entry);
  const places = new Map(kept.map((entry, at) => [entry, at]));
  // Links keep their place among the entries that stay.
  let at = 0;
  const placeOf = entries.map((entry) => (places.has(entry) ? at++ : at));
  for (const [i, link] of links.entries()) links[i] = { ...link, at: placeOf[link.at] ?? at };
  const replaced = entries.filter((entry) => !places.has(entry));
  return {
    entries: kept,
    replaced: replaced.map(({ name }) => ({ name, kind: "file that a later one of its name replaces" })),
  };
}

interface Members {
  readonly entries: TarEntry[];
  readonly links: Link[];
  readonly leftOut: LeftOutMember[];
}

interface Range {
  readonly from: number;
  readonly to: number;
  readonly folder: string;
  readonly level: number;
}

/** What headers before an entry say of it. */
interface Ahead {
  name?: string;
  linkName?: string;
  attributes?: ReadonlyMap<string, string>;
}

async function indexRange(window: Window, range: Range, members: Members): Promise<void> {
  let ahead: Ahead = {};
  for (let at = range.from; at + tarBlockBytes <= range.to; ) {
    const block = await window.read(at, tarBlockBytes);
    if (block.every((byte) => byte === 0)) {
      const next = await archiveBehind(window, at, range.to);
      if (next === undefined) break;
      at = next;
      continue;
    }
    const where = `${window.name} (at byte ${at})`;
    const header = parseTarHeader(block, where);
    const describesNext = "xXgLK".includes(header.type);
    const offset = at + tarBlockBytes;
    const stated = describesNext ? undefined : paxSize(ahead.attributes?.get("size"), where);
    const sizeBytes = await contentBytes(window, header.type, stated ?? header.sizeBytes, { offset, end: range.to });
    const content = { offset, sizeBytes };
    if (offset + sizeBytes > range.to)
      throw new DataFormatError(
        `tar: ${window.name} is cut off at byte ${range.to}, within ${header.name}; fetch it again`,
      );
    if (describesNext) await readAhead(window, header.type, content, where, ahead);
    else {
      await addMember(window, header, content, ahead, range, members);
      ahead = {};
    }
    const extension = header.type === "S" ? await sparseExtensionBytes(window, block, offset) : 0;
    at = offset + extension + Math.ceil(sizeBytes / tarBlockBytes) * tarBlockBytes;
  }
}

/** Zeros between one archive and the next in a file; GNU tar fills up pieces of 10 KiB, tapes had some of 1 MiB. */
const mostZeroBytes = 2 ** 20;

/** Where another archive begins behind the end of one, as `cat a.tar b.tar` leaves it; undefined if none does. */
async function archiveBehind(window: Window, from: number, end: number): Promise<number | undefined> {
  for (let at = from; at + tarBlockBytes <= Math.min(end, from + mostZeroBytes); at += tarBlockBytes) {
    const block = await window.read(at, tarBlockBytes);
    if (block.some((byte) => byte !== 0)) return checksumFits(block) ? at : undefined;
  }
  return undefined;
}

// GNU's older sparse format lists holes in blocks of their own behind the header, each saying whether another one follows.
async function sparseExtensionBytes(window: Window, header: Uint8Array, offset: number): Promise<number> {
  let bytes = 0;
  for (let goesOn = header[482] === 1; goesOn; bytes += tarBlockBytes) {
    const block = await window.read(offset + bytes, tarBlockBytes);
    goesOn = block[504] === 1;
  }
  return bytes;
}

/** Symbolic links, devices, folders and pipes, whose header may state the size of something that is not in the archive. */
const typesWithoutContent: ReadonlySet<string> = new Set(["2", "3", "4", "5", "6"]);

/** Bytes behind a header. A hard link has content in some archives of pax only, where no header follows it at once. */
async function contentBytes(
  window: Window,
  type: string,
  stated: number,
  { offset, end }: { readonly offset: number; readonly end: number },
): Promise<number> {
  if (typesWithoutContent.has(type)) return 0;
  if (type !== "1" || stated === 0 || offset + tarBlockBytes > end) return type === "1" ? 0 : stated;
  const next = await window.read(offset, tarBlockBytes);
  return next.every((byte) => byte === 0) || checksumFits(next) ? 0 : stated;
}

interface Content {
  readonly offset: number;
  readonly sizeBytes: number;
}

async function readAhead(window: Window, type: string, { offset, sizeBytes }: Content, where: string, ahead: Ahead) {
  if (type === "g") return; // attributes of the whole archive, such as the comment that git leaves
  if (sizeBytes > mostAttributeBytes)
    throw new DataFormatError(
      `tar: ${where} has ${sizeBytes} bytes of names or attributes, more than ${mostAttributeBytes}; write the archive again without them`,
    );
  const bytes = await window.read(offset, sizeBytes);
  if (type === "L") ahead.name = fieldText(bytes);
  else if (type === "K") ahead.linkName = fieldText(bytes);
  else ahead.attributes = paxAttributes(bytes, where);
}

async function addMember(
  window: Window,
  header: TarHeader,
  { offset, sizeBytes }: Content,
  ahead: Ahead,
  range: Range,
  members: Members,
): Promise<void> {
  const { attributes } = ahead;
  const given = plain(attributes?.get("GNU.sparse.name") ?? attributes?.get("path") ?? ahead.name ?? header.name);
  const name = range.folder + given;
  const unreadable = unreadableKind(header.type, attributes);
  if (unreadable !== undefined) members.leftOut.push({ name, kind: unreadable });
  else if (header.type === "1" || header.type === "2") {
    const to = attributes?.get("linkpath") ?? ahead.linkName ?? header.linkName;
    const isHard = header.type === "1";
    const target = range.folder + plain(isHard ? to : joined(given, to));
    members.links.push({ name, target, kind: isHard ? "hard link" : "symbolic link", at: members.entries.length });
  } else if (foldersAndNotes.has(header.type)) return;
  else if (name.endsWith(".tar")) await indexInner(window, name, { offset, sizeBytes }, range, members);
  // Contiguous files (7) and, as POSIX demands, types that nobody knows are regular files.
  else members.entries.push({ name, offset, lengthBytes: sizeBytes });
}

/** Folders, GNU's lists of folders, volume headers. */
const foldersAndNotes: ReadonlySet<string> = new Set(["5", "D", "V"]);

/** Members whose content is not one piece of the archive. */
function unreadableKind(type: string, attributes: ReadonlyMap<string, string> | undefined): string | undefined {
  const isSparse = [...(attributes?.keys() ?? [])].some((key) => key.startsWith("GNU.sparse."));
  if (isSparse || type === "S") return "sparse file";
  if (type === "M") return "part of a file on another volume";
  return type === "3" || type === "4" || type === "6" ? "device or pipe" : undefined;
}

async function indexInner(
  window: Window,
  name: string,
  { offset, sizeBytes }: Content,
  range: Range,
  members: Members,
): Promise<void> {
  if (range.level === mostLevels)
    throw new DataFormatError(
      `tar: ${window.name} holds archives within archives, more than ${mostLevels} deep (${name}); unpack them first`,
    );
  const inner = { from: offset, to: offset + sizeBytes, folder: `${name.slice(0, -4)}/`, level: range.level + 1 };
  await indexRange(window, inner, members);
}

function plain(name: string): string {
  return name.replace(/^(?:\.?\/)+/, "");
}

/** The path that a symbolic link of the file `name` means. */
function joined(name: string, target: string): string {
  const parts = name.split("/").slice(0, -1);
  for (const part of target.split("/")) {
    if (part === "..") parts.pop();
    else if (part !== "." && part !== "") parts.push(part);
  }
  return parts.join("/");
}

class Window {
  readonly name: string;
  readonly #reader: RangeReader;
  #from = 0;
  #bytes = new Uint8Array();

  constructor(reader: RangeReader) {
    this.name = reader.name;
    this.#reader = reader;
  }

  async read(offset: number, lengthBytes: number): Promise<Uint8Array> {
    const held = offset >= this.#from && offset + lengthBytes <= this.#from + this.#bytes.length;
    if (!held) {
      this.#bytes = Uint8Array.from(await this.#reader.read(offset, Math.max(windowBytes, lengthBytes)));
      this.#from = offset;
    }
    return this.#bytes.subarray(offset - this.#from, offset - this.#from + lengthBytes);
  }
}

import { DataFormatError } from "../errors.ts";

/** Links to links, as many as Linux follows. */
const mostLinks = 40;
/** A few links to one folder could otherwise describe any number of files. */
const mostLinkedFiles = 2 ** 22;

/** A regular file within a tar archive. */
export interface TarEntry {
  readonly name: string;
  readonly offset: number;
  readonly lengthBytes: number;
}

/** A member whose content cannot be read in one piece. */
export interface LeftOutMember {
  readonly name: string;
  /** What it is, in words. */
  readonly kind: string;
}

/** What an archive holds. */
export interface TarIndex {
  readonly entries: readonly TarEntry[];
  readonly leftOut: readonly LeftOutMember[];
}

/** A link within an archive. */
export interface Link {
  readonly name: string;
  readonly target: string;
  readonly kind: string;
  /** Its place among the entries. */
  readonly at: number;
}

/** Gives links the place of the file that they name, wherever in the archive that stands, and those to folders their content. */
export function resolveLinks(entries: readonly TarEntry[], links: readonly Link[]): TarIndex {
  const { resolved, others } = fileLinks(entries, links);
  const folders = filesOfFolders(entries, new Set(others.map(({ target }) => target)));
  const leftOut: LeftOutMember[] = [];
  for (const { name, target, kind, at } of others) {
    const content = folders.get(target) ?? [];
    if (content.length === 0) leftOut.push({ name, kind: `${kind} to a file that the archive lacks` });
    for (const entry of content) {
      if (resolved.length > mostLinkedFiles)
        throw new DataFormatError(
          `tar: links stand for more than ${mostLinkedFiles} files (such as ${name}); unpack the archive first`,
        );
      resolved.push({ at, entry: { ...entry, name: name + entry.name.slice(target.length) } });
    }
  }
  return { entries: merged(entries, resolved), leftOut };
}

/** Links to files, and the others with the end of their chain as target. */
function fileLinks(entries: readonly TarEntry[], links: readonly Link[]) {
  const files = new Map(entries.map((entry) => [entry.name, entry]));
  const linked = new Map(links.map((link) => [link.name, link.target]));
  const resolved: PlacedEntry[] = [];
  const others: Link[] = [];
  for (const link of links) {
    let end = link.target;
    for (let steps = 0; steps < mostLinks && !files.has(end); steps++) end = linked.get(end) ?? end;
    const file = files.get(end);
    if (file) resolved.push({ at: link.at, entry: { ...file, name: link.name } });
    else others.push({ ...link, target: end });
  }
  return { resolved, others };
}

/** An entry, and its place among those that are no links. */
interface PlacedEntry {
  readonly at: number;
  readonly entry: TarEntry;
}

/** Entries below some folders, at any depth. */
function filesOfFolders(entries: readonly TarEntry[], folders: ReadonlySet<string>): Map<string, TarEntry[]> {
  const found = new Map<string, TarEntry[]>();
  if (folders.size === 0) return found;
  for (const entry of entries) {
    for (let end = entry.name.indexOf("/"); end >= 0; end = entry.name.indexOf("/", end + 1)) {
      const folder = entry.name.slice(0, end);
      if (!folders.has(folder)) continue;
      const content = found.get(folder);
      if (content) content.push(entry);
      else found.set(folder, [entry]);
    }
  }
  return found;
}

/** Entries with the resolved links at their places. */
function merged(entries: readonly TarEntry[], resolved: readonly PlacedEntry[]): TarEntry[] {
  const placed = [...entries.map((entry, at) => ({ at: at + 0.5, entry })), ...resolved];
  return placed.sort((a, b) => a.at - b.at).map(({ entry }) => entry);
}

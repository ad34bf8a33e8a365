import { DataFormatError } from "../errors.ts";
import { type StatedClass, statedClass } from "./class_labels.ts";
import { hasForeignImageName, hasImageName } from "./image_names.ts";

/** One line of a list of images. */
export interface ListedImage {
  /** As written: absolute, or relative to the list's folder. */
  readonly path: string;
  readonly class: StatedClass;
}

const pathNames = ["path", "file", "filename", "file_name", "filepath", "file_path", "image", "image_path", "img_path"];
const classNames = ["label", "class", "cls", "target", "category", "class_name", "label_name"];

/**
 * Reads a list of images: JSON lines (`{"path": …, "label": …}`), or lines `path,label`, separated by commas, tabs or semicolons, with
 * or without a line of headings; the label may be missing.
 *
 * @throws DataFormatError naming the first line that cannot be read
 */
export function parseList(content: string, name: string): ListedImage[] {
  // Without the byte order mark that spreadsheets write, and with one kind of line ends: old ones of the Mac are a CR alone.
  const text = content.replace(/^\ufeff/, "").replaceAll(/\r\n?/g, "\n");
  if (/^\s*\[\s*[{[\]]/.test(text))
    throw new DataFormatError(`list: ${name} is one JSON list; write an object per line: {"path": …, "label": …}`);
  return text.trimStart().startsWith("{") ? parseJsonLines(text, name) : parseTable(text, name);
}

function parseJsonLines(text: string, name: string): ListedImage[] {
  const listed: ListedImage[] = [];
  const keys = new Set<string>();
  for (const [index, line] of text.split("\n").entries()) {
    if (line.trim() === "") continue;
    const entry = jsonLine(line);
    const path = entry && firstOf(entry, pathNames);
    if (entry === undefined || typeof path !== "string") {
      throw new DataFormatError(`list: line ${index + 1} of ${name} is no JSON object with a "path"; repair the line`);
    }
    const stated = statedClass(firstOf(entry, classNames));
    if ("refused" in stated)
      throw new DataFormatError(`list: line ${index + 1} of ${name} states as its class ${stated.refused}`);
    listed.push({ path, class: stated.text });
    for (const key of entry.keys()) keys.add(key);
  }
  const others = [...keys].filter((key) => !pathNames.includes(key));
  if (others.length > 0 && !others.some((key) => classNames.includes(key)))
    throw new DataFormatError(
      `list: no key of ${name} (${others.slice(0, 20).join(", ")}) is that of the classes, one of ${classNames.join(", ")}; rename it, or leave paths alone`,
    );
  return listed;
}

function jsonLine(line: string): Map<string, unknown> | undefined {
  try {
    const parsed: unknown = JSON.parse(line);
    return typeof parsed === "object" && parsed !== null ? new Map(Object.entries(parsed)) : undefined;
  } catch {
    return undefined; // the caller names the line
  }
}

function firstOf(entry: ReadonlyMap<string, unknown>, names: readonly string[]): unknown {
  const name = names.find((candidate) => entry.has(candidate));
  return name === undefined ? undefined : entry.get(name);
}

function parseTable(text: string, name: string): ListedImage[] {
  const separator = separatorOf(text.split("\n", 1)[0] ?? "");
  const rows = tableRows(text, separator, name).filter(({ cells }) => cells.some((cell) => cell !== ""));
  const headings = (rows[0]?.cells ?? []).map((cell) => cell.trim().toLowerCase());
  const pathColumn = headings.findIndex((heading) => pathNames.includes(heading));
  const classColumn = headings.findIndex((heading) => classNames.includes(heading));
  checkHeadings(headings, { pathColumn, classColumn }, rows, name);
  const body = pathColumn < 0 ? rows : rows.slice(1);
  return body.map(({ cells, line }) => {
    checkWidth(cells, pathColumn < 0 ? 2 : headings.length, `line ${line} of ${name}`);
    const path = cells[Math.max(pathColumn, 0)]?.trim() ?? "";
    if (path === "") throw new DataFormatError(`list: line ${line} of ${name} has no path; write path,label`);
    return { path, class: tableClass(cells[pathColumn < 0 ? 1 : classColumn], `line ${line} of ${name}`) };
  });
}

/** A cell too many is a comma within a path or a class, which would be cut there. */
function checkWidth(cells: readonly string[], width: number, where: string): void {
  const further = cells.slice(width).find((cell) => cell.trim() !== "");
  if (further !== undefined)
    throw new DataFormatError(
      `list: ${where} has ${cells.length} cells, expected ${width} (such as "${further.trim().slice(0, 40)}"); put cells with separators in double quotes, or write a line of headings`,
    );
}

function tableClass(cell: string | undefined, where: string): StatedClass {
  const text = cell?.trim();
  if (text !== undefined && /^\[.*,.*\]$/s.test(text))
    throw new DataFormatError(
      `list: ${where} states as its class a list (${text.slice(0, 40)}); a class is one name or number`,
    );
  return text || undefined;
}

/** Spreadsheets of countries with decimal commas write semicolons. */
function separatorOf(line: string): "\t" | ";" | "," {
  if (line.includes("\t")) return "\t";
  return line.includes(";") && !line.includes(",") ? ";" : ",";
}

/** A line of headings that is taken for an image, or a column of classes under an unknown heading, would lose labels in silence. */
function checkHeadings(
  headings: readonly string[],
  { pathColumn, classColumn }: { readonly pathColumn: number; readonly classColumn: number },
  rows: readonly TableRow[],
  name: string,
): void {
  const known = `the column of paths is one of ${pathNames.join(", ")}, that of classes one of ${classNames.join(", ")}`;
  const isPicture = (cells: readonly string[] | undefined): boolean =>
    [hasImageName, hasForeignImageName].some((test) => test(cells?.[0]?.trim() ?? ""));
  const looksLikeHeadings =
    pathColumn < 0 && !isPicture(rows[0]?.cells) && rows.slice(1, 9).some(({ cells }) => isPicture(cells));
  const twice = headings.find((heading, at) => heading !== "" && headings.indexOf(heading) !== at);
  if (twice !== undefined && pathColumn >= 0)
    throw new DataFormatError(`list: two columns of ${name} have the heading ${twice}; rename one of them`);
  const [first] = rows;
  const spaced = first?.cells.length === 1 ? /^(\S+)\s+\S+$/.exec(first.cells[0]?.trim() ?? "") : undefined;
  if (spaced && isPicture([spaced[1] ?? ""]))
    throw new DataFormatError(
      `list: line ${first?.line} of ${name} separates path and class by a space; write path,label`,
    );
  if (looksLikeHeadings)
    throw new DataFormatError(`list: the headings ${headings.join(", ")} of ${name} are not known; ${known}`);
  if (pathColumn >= 0 && classColumn < 0 && headings.length > 1)
    throw new DataFormatError(
      `list: no heading of ${name} (${headings.join(", ")}) is that of the classes; ${known}; without classes leave paths alone`,
    );
}

interface TableRow {
  readonly cells: string[];
  readonly line: number;
}

// RFC 4180: cells may stand in double quotes, which may then hold separators, line breaks and doubled quotes.
function tableRows(text: string, separator: string, name: string): TableRow[] {
  const token = new RegExp(`"[^"]*(?:""[^"]*)*"|[^"\n${separator}][^\n${separator}]*|[\n${separator}]|"`, "g");
  const rows: TableRow[] = [{ cells: [""], line: 1 }];
  let line = 1;
  for (const [part] of text.matchAll(token)) {
    const row = rows[rows.length - 1] ?? { cells: [], line };
    if (part === "\n") rows.push({ cells: [""], line: ++line });
    else if (part === separator) row.cells.push("");
    else if (part === '"')
      throw new DataFormatError(`list: a quote opened in line ${row.line} of ${name} is never closed; repair the line`);
    else {
      row.cells[row.cells.length - 1] += part.startsWith('"') ? part.slice(1, -1).replaceAll('""', '"') : part;
      line += part.split("\n").length - 1;
    }
  }
  return rows;
}

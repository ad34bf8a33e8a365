import { DataFormatError } from "../errors.ts";
import type { StatedClass } from "./class_labels.ts";

/** One line of a list of images. */
export interface ListedImage {
  /** As written: absolute, or relative to the list's folder. */
  readonly path: string;
  readonly class: StatedClass;
}

const pathNames = ["path", "file", "filename", "file_name", "image"];
const classNames = ["label", "class", "cls"];

/**
 * Reads a list of images: JSON lines (`{"path": …, "label": …}`), or comma- or tab-separated lines `path,label` with
 * or without a line of headings; the label may be missing.
 *
 * @throws DataFormatError naming the first line that cannot be read
 */
export function parseList(content: string, name: string): ListedImage[] {
  const text = content.replace(/^\ufeff/, ""); // byte order mark, as spreadsheets write it
  return text.trimStart().startsWith("{") ? parseJsonLines(text, name) : parseTable(text, name);
}

function parseJsonLines(text: string, name: string): ListedImage[] {
  const listed: ListedImage[] = [];
  for (const [index, line] of text.split(/\r?\n/).entries()) {
    if (line.trim() === "") continue;
    const entry = jsonLine(line);
    const path = entry && firstOf(entry, pathNames);
    if (entry === undefined || typeof path !== "string") {
      throw new DataFormatError(`list: line ${index + 1} of ${name} is no JSON object with a "path"; repair the line`);
    }
    const stated = firstOf(entry, classNames);
    listed.push({ path, class: typeof stated === "string" || typeof stated === "number" ? stated : undefined });
  }
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
  const separator = (text.split("\n", 1)[0] ?? "").includes("\t") ? "\t" : ",";
  const rows = tableRows(text, separator, name).filter(({ cells }) => cells.some((cell) => cell !== ""));
  const headings = (rows[0]?.cells ?? []).map((cell) => cell.trim().toLowerCase());
  const pathColumn = headings.findIndex((heading) => pathNames.includes(heading));
  const classColumn = headings.findIndex((heading) => classNames.includes(heading));
  const body = pathColumn < 0 ? rows : rows.slice(1);
  return body.map(({ cells, line }) => {
    const path = cells[Math.max(pathColumn, 0)]?.trim() ?? "";
    if (path === "") throw new DataFormatError(`list: line ${line} of ${name} has no path; write path,label`);
    const stated = cells[pathColumn < 0 ? 1 : classColumn]?.trim() ?? "";
    return { path, class: stated === "" ? undefined : stated };
  });
}

// RFC 4180: cells may stand in double quotes, which may then hold separators, line breaks and doubled quotes.
function tableRows(text: string, separator: string, name: string): { cells: string[]; line: number }[] {
  const rows: { cells: string[]; line: number }[] = [];
  let cells: string[] = [];
  let cell = "";
  let quoted = false;
  let line = 1;
  let rowLine = 1;
  const endRow = (): void => {
    rows.push({ cells: [...cells, cell], line: rowLine });
    cells = [];
    cell = "";
    rowLine = line;
  };
  for (let at = 0; at < text.length; at++) {
    const letter = text.charAt(at);
    if (letter === "\n") line++;
    if (quoted && letter === '"' && text[at + 1] === '"') cell += text.charAt(at++);
    else if (letter === '"' && (quoted || cell === "")) quoted = !quoted;
    else if (quoted) cell += letter;
    else if (letter === separator) {
      cells.push(cell);
      cell = "";
    } else if (letter === "\n") endRow();
    else if (letter !== "\r") cell += letter;
  }
  if (quoted)
    throw new DataFormatError(`list: a quote opened in line ${rowLine} of ${name} is never closed; repair the line`);
  endRow();
  return rows;
}

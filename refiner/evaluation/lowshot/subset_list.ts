import { parseList } from "../../data/sources/list.ts";
import { EvaluationError } from "../core/errors.ts";

/** Images that a list can name. */
export interface NamedImages {
  readonly length: number;
  name(index: number): string;
}

/**
 * Rows of the images that a published list names, such as those of MSN for 1, 2 and 5 images per class: one file per line, as a path or as
 * its last part (`n01440764_10074.JPEG`). Classes in the list do not count; those of the images do.
 *
 * @param content - text of the list
 * @param listName - for messages
 * @throws EvaluationError for a name that no image has, that several have, or that stands there twice
 */
export function rowsOfList(images: NamedImages, content: string, listName: string): Uint32Array {
  const byLastPart = rowsByLastPart(images);
  const seen = new Set<number>();
  for (const { path } of parseList(content, listName)) {
    const candidates = byLastPart.get(lastPart(path)) ?? [];
    const found = candidates.filter((row) => isNamed(images.name(row), path));
    const [row] = found;
    if (row === undefined || found.length > 1 || seen.has(row)) {
      const fault =
        row === undefined
          ? "is none of the images"
          : found.length > 1
            ? "is the name of several images"
            : "stands there twice";
      throw new EvaluationError(
        `${listName}: ${path} ${fault}; name each image once, by as much of its path as tells it apart`,
      );
    }
    seen.add(row);
  }
  if (seen.size === 0) throw new EvaluationError(`${listName}: the list names no image; write one file per line`);
  return Uint32Array.from(seen);
}

function rowsByLastPart(images: NamedImages): ReadonlyMap<string, readonly number[]> {
  const byLastPart = new Map<string, number[]>();
  for (let row = 0; row < images.length; row++) {
    const last = lastPart(images.name(row));
    const rows = byLastPart.get(last);
    if (rows) rows.push(row);
    else byLastPart.set(last, [row]);
  }
  return byLastPart;
}

function lastPart(path: string): string {
  return path.slice(Math.max(path.lastIndexOf("/"), path.lastIndexOf("\\")) + 1);
}

/** Whether the path is the name, or its end. */
function isNamed(name: string, path: string): boolean {
  const [whole, end] = [name.replaceAll("\\", "/"), path.replaceAll("\\", "/").replace(/^\.\//, "")];
  return whole === end || whole.endsWith(`/${end}`);
}

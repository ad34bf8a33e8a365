// Reading the source for the checks: which files there are, which room each is in, what it imports.
import { readdir, readFile } from "node:fs/promises";
import { basename, dirname, join, relative, resolve, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { rooms } from "./rooms.mjs";

export const root = fileURLToPath(new URL("..", import.meta.url));

/** Paths below `folder`, with `/`, relative to the checkout. */
export async function filesBelow(folder) {
  const entries = await readdir(join(root, folder), { recursive: true, withFileTypes: true }).catch(() => []);
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) =>
      relative(root, join(entry.parentPath ?? entry.path, entry.name))
        .split(sep)
        .join("/"),
    )
    .sort();
}

/** The row that a file belongs to, or undefined where the table has no room for it. */
export function roomOf(path) {
  const longest = (row) => Math.max(...(row.at ?? [row.room]).map((at) => (isWithin(path, at) ? at.length : 0)));
  const row = rooms.reduce((best, next) => (longest(next) > longest(best) ? next : best));
  return longest(row) > 0 ? row : undefined;
}

function isWithin(path, at) {
  return path === at || path.startsWith(`${at}/`);
}

/** @returns {Promise<{ target: string, path?: string }[]>} imports of a file; `path` where it names one of ours */
export async function importsOf(file) {
  const text = await readFile(join(root, file), "utf8");
  return [...text.matchAll(/(?:from|import)\s*\(?\s*"([^"]+)"/g)].map(([, target]) => ({
    target,
    path: target.startsWith(".")
      ? relative(root, resolve(root, dirname(file), target))
          .split(sep)
          .join("/")
      : target === "#platform" // resolved by the runtime: its type is that of one file
        ? "engine/platform/node.ts"
        : undefined,
  }));
}

/** Files that may import from Node: the command line, the platforms, and what says so in its name. */
export function mayUseNode(file) {
  return file.startsWith("cli/") || file.startsWith("engine/platform/") || /_node\.ts$/.test(basename(file));
}

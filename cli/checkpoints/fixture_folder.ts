import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileSource } from "../../engine/platform/files_node.ts";
import type { FixtureFolder } from "../../refiner/conformance/index.ts";
import { jpegCodec } from "../../refiner/data/index_node.ts";

/** A folder of golden fixtures on disk. */
export function fixtureFolder(path: string): FixtureFolder {
  return {
    files: () => readdir(path),
    open: (name) => fileSource(join(path, name)),
    text: (name) => readFile(join(path, name), "utf8"),
    jpeg: jpegCodec,
    folder: (name) => fixtureFolder(join(path, name)),
  };
}

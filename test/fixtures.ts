import { readdir, readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { fileSource } from "../engine/platform/files_node.ts";
import type { FixtureFolder } from "../refiner/conformance/index.ts";

/** The golden fixtures that stand in the repository. */
export function fixtureFolder(path = fileURLToPath(new URL("./fixtures/", import.meta.url))): FixtureFolder {
  return {
    files: () => readdir(path),
    open: (name) => fileSource(`${path}/${name}`),
    text: (name) => readFile(`${path}/${name}`, "utf8"),
    folder: (name) => fixtureFolder(`${path}/${name}`),
  };
}

import { readdir, readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { fileSource } from "../engine/platform/files_node.ts";
import type { FixtureFolder } from "../refiner/conformance/index.ts";
import { jpegCodec } from "../refiner/data/decoding/jpeg_codec_node.ts";

/** The golden fixtures that stand in the repository. */
export function fixtureFolder(path = fileURLToPath(new URL("./fixtures/", import.meta.url))): FixtureFolder {
  return {
    files: () => readdir(path),
    open: (name) => fileSource(`${path}/${name}`),
    text: (name) => readFile(`${path}/${name}`, "utf8"),
    jpeg: jpegCodec,
    folder: (name) => fixtureFolder(`${path}/${name}`),
  };
}

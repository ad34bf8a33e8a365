import { execFileSync } from "node:child_process";
import { mkdir, writeFile } from "node:fs/promises";
import { beforeAll, expect, it } from "vitest";
import { run, temporaryFolder } from "./run_command.ts";
import { smallFolder } from "./small_run.ts";

const at = await temporaryFolder();
const small = await smallFolder();
const embed = (...images: readonly string[]) =>
  run("embed", "--weights", small("weights.safetensors"), ...images, "--out", at("features.npy"));

beforeAll(async () => {
  await mkdir(at("photos"));
  await writeFile(at("photos/a.txt"), "text");
  execFileSync("tar", ["czf", at("photos.tar.gz"), "-C", at("photos"), "."]);
  // The end of an empty archive, behind the signature of a file in it.
  await writeFile(at("photos.zip"), Buffer.concat([Buffer.from("PK\u0003\u0004"), Buffer.alloc(200)]));
  await writeFile(at("drawing.svg"), '<svg xmlns="http://www.w3.org/2000/svg"/>');
});

it.each([
  [
    "a pattern that the shell left alone",
    ["--images", "photos/*.jpg"],
    1,
    /photos\/\*\.jpg.*patterns and several paths/,
  ],
  ["a pattern that the shell expanded", ["--images", "a.jpg", "b.jpg"], 2, /too many arguments.*takes one path/],
  ["two folders", ["--images", "one", "--images", "two"], 2, /--images was given twice \(one, then two\).*a list/],
  ["a list of folders", ["--images", "one,two"], 1, /one,two.*patterns and several paths/],
] as const)("%s is refused with advice", async (_, images, code, message) => {
  const found = await embed(...images);
  expect([found.code, found.err]).toEqual([code, expect.stringMatching(message)]);
});

it.each([
  ["photos.tar.gz", /photos\.tar\.gz is a compressed tar archive.*unpack it first/],
  ["photos.zip", /photos\.zip is a zip archive; unpack it/],
  ["drawing.svg", /drawing\.svg is XML or HTML, such as an SVG drawing; convert/],
] as const)("%s is refused with advice", async (name, message) => {
  const { code, err } = await embed("--images", at(name));
  expect([code, err]).toEqual([1, expect.stringMatching(message)]);
});

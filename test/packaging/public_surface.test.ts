import { readFileSync, writeFileSync } from "node:fs";
import process from "node:process";
import { expect, it } from "vitest";
import { commandOptions, publicExports } from "./public_surface.ts";

/** What users can rely on, as text: a change of it is seen in review. */
const snapshots = [
  { what: "exported names", file: "public_exports.txt", found: publicExports },
  { what: "options of the commands", file: "command_options.txt", found: commandOptions },
];

it.each(snapshots)("the $what are those of test/packaging/$file", { timeout: 120_000 }, ({ file, found }) => {
  const path = new URL(file, import.meta.url);
  const now = found();
  if (process.env.UPDATE_PUBLIC_SURFACE) writeFileSync(path, now);
  const before = readFileSync(path, "utf8");
  const [is, was] = [now.split("\n"), before.split("\n")];
  const changes = [
    ...was.filter((line) => !is.includes(line)).map((line) => `- ${line.trim()}`),
    ...is.filter((line) => !was.includes(line)).map((line) => `+ ${line.trim()}`),
  ];
  const update = "UPDATE_PUBLIC_SURFACE=1 npx vitest run test/packaging/public_surface.test.ts";
  expect(
    now === before,
    `${file} differs from what is public now:\n${changes.join("\n")}\nIf that is meant, write it anew, and name it in CHANGELOG.md:\n  ${update}`,
  ).toBe(true);
});

import { mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { afterAll, expect, test } from "vitest";
import { makeFolders } from "../../../engine/platform/folders_node.ts";

const root = await mkdtemp(join(tmpdir(), "mimrefine-folders-"));
afterAll(() => rm(root, { recursive: true, force: true }));

test("makes what is missing and tells the outermost folder", async () => {
  expect(await makeFolders(join(root, "a", "b", "c"))).toBe(join(root, "a"));
  expect((await stat(join(root, "a", "b", "c"))).isDirectory()).toBe(true);
  expect(await makeFolders(join(root, "a", "b", "c"))).toBeUndefined();
  expect(await makeFolders(join(root, "a", "b", "d"))).toBe(join(root, "a", "b", "d"));
});

test("several at once make one folder", async () => {
  const made = await Promise.all(Array.from({ length: 8 }, () => makeFolders(join(root, "many", "in", "one"))));
  expect(made.filter((folder) => folder === join(root, "many")).length).toBeGreaterThan(0);
  expect((await stat(join(root, "many", "in", "one"))).isDirectory()).toBe(true);
});

test("a file in the place of a folder is an error of the system", async () => {
  await writeFile(join(root, "file"), "");
  await expect(makeFolders(join(root, "file"))).rejects.toThrow("EEXIST");
  await expect(makeFolders(join(root, "file", "below"))).rejects.toThrow("ENOTDIR");
});

// Node's recursive form tries for ever there: it would end at the limit of the test.
test.skipIf(process.platform !== "linux")("where nobody can make folders, that is an error", async () => {
  await expect(makeFolders("/proc/mimrefine/a/b")).rejects.toThrow("ENOENT");
});

test("no source calls Node's recursive form", async () => {
  const checkout = fileURLToPath(new URL("../../../", import.meta.url));
  let read = 0;
  for (const house of ["engine", "models", "refiner", "cli"]) {
    const files = (await readdir(join(checkout, house), { recursive: true })).filter((file) => file.endsWith(".ts"));
    for (const file of files) {
      const calls = (await readFile(join(checkout, house, file), "utf8")).match(/\bmkdir(Sync)?\([^;]*?\brecursive\b/g);
      expect(calls, `${house}/${file}: call makeFolders of engine/platform/folders_node.ts`).toBeNull();
    }
    read += files.length;
  }
  expect(read).toBeGreaterThan(500);
});

import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import sharp from "sharp";
import { afterAll, expect, it } from "vitest";

const folder = await mkdtemp(join(tmpdir(), "flags-"));
afterAll(() => rm(folder, { recursive: true, force: true }));
const cwd = fileURLToPath(new URL("../..", import.meta.url));

// Flags of Node that a thread inherits unless it is told not to, and then refuses or repeats.
it.each([
  ["a program on the command line", ["--input-type=module", "-e"]],
  ["a program that is printed", ["--input-type=module", "--no-warnings", "--conditions=x", "-e"]],
] as const)("decoder threads start under %s", { timeout: 60_000 }, async (_, flags) => {
  for (const name of ["a.png", "b.png"])
    await sharp({ create: { width: 5, height: 4, channels: 3, background: "#123456" } }).toFile(join(folder, name));
  const program = `
    import { openImages } from "mimrefine/node";
    const source = await openImages(${JSON.stringify(folder)}, { workers: 2 });
    const images = await Promise.all([0, 1].map((index) => source.load(index)));
    await source.close();
    console.log(images.map(({ width, height, data }) => [width, height, ...data.subarray(0, 3)].join()).join(" "));
  `;
  const { stdout } = await promisify(execFile)(process.execPath, [...flags, program], { cwd });
  expect(stdout).toBe("5,4,18,52,86 5,4,18,52,86\n");
});

import { execFile } from "node:child_process";
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import { build } from "esbuild";
import { expect, it } from "vitest";

const readme = await readFile("README.md", "utf8");
/** Code that stands behind a comment with what it prints. */
const examples = [...readme.matchAll(/<!-- run: (.*?) -->\n```ts\n(.*?)```/gs)].map(([, prints = "", code = ""]) => ({
  prints,
  code,
}));

it("the README has an example of training and one of an own operation", () => {
  expect(examples.length).toBe(2);
});

it.each(examples)(
  "the README's example that prints '$prints' runs as it stands",
  { timeout: 120_000 },
  async (example) => {
    // Beside the installed packages, so that they are found.
    const folder = resolve("node_modules/.cache", `readme-${process.pid}`);
    const file = join(folder, "example.mjs");
    try {
      await mkdir(folder, { recursive: true });
      const bundled = await build({
        stdin: { contents: example.code, loader: "ts", resolveDir: resolve(".") },
        alias: {
          "mimrefine/engine": resolve("engine/index.ts"),
          "mimrefine/testing": resolve("engine/testing/index.ts"),
          "#platform": resolve("engine/platform/node.ts"),
        },
        bundle: true,
        write: false,
        format: "esm",
        platform: "node",
        external: ["webgpu", "koffi", "typegpu", "fast-check"],
        loader: { ".wgsl": "text" },
      });
      await writeFile(file, bundled.outputFiles[0]?.text ?? "");
      const { stdout } = await promisify(execFile)(process.execPath, [file], { timeout: 110_000 });
      expect(stdout).toContain(example.prints);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  },
);

// Bundles the entry points into dist/ (shared code in common chunks, so that classes keep one identity) and writes the type declarations.
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { chmod, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { join } from "node:path";
import { build } from "esbuild";

const root = new URL("..", import.meta.url).pathname;
const entries = {
  index: "index.ts",
  engine: "engine/index.ts",
  models: "models/index.ts",
  refiner: "refiner/index.ts",
  testing: "engine/testing/index.ts",
  "platform/node": "engine/platform/node.ts",
  "platform/deno": "engine/platform/deno.ts",
  "platform/browser": "engine/platform/browser.ts",
  "refiner/decode_worker": "refiner/data/decode_worker_node.ts",
  "cli/main": "cli/main.ts",
};

await rm(join(root, "dist"), { recursive: true, force: true });
await build({
  absWorkingDir: root,
  entryPoints: Object.fromEntries(Object.entries(entries).filter(([, file]) => existsSync(join(root, file)))),
  outdir: "dist",
  bundle: true,
  splitting: true,
  format: "esm",
  target: "es2022",
  platform: "neutral",
  packages: "external",
  external: ["#platform", "node:*"],
  loader: { ".wgsl": "text" },
  chunkNames: "chunks/[name]-[hash]",
  sourcemap: true,
  legalComments: "none",
  logLevel: "warning",
});

const cli = join(root, "dist/cli/main.js");
if (existsSync(cli)) {
  await writeFile(cli, `#!/usr/bin/env node\n${await readFile(cli, "utf8")}`);
  await chmod(cli, 0o755);
}

const tsc = join(createRequire(import.meta.url).resolve("typescript/package.json"), "../bin/tsc");
execFileSync(process.execPath, [tsc, "-p", join(root, "tsconfig.build.json")], { stdio: "inherit" });
for (const file of await readdir(join(root, "dist/types"), { recursive: true })) {
  if (!file.endsWith(".d.ts")) continue;
  const path = join(root, "dist/types", file);
  // Declarations name the files that stand beside them once installed.
  await writeFile(
    path,
    (await readFile(path, "utf8")).replace(/(from\s+|import\()"(\.{1,2}\/[^"]*)\.ts"/g, '$1"$2.js"'),
  );
}

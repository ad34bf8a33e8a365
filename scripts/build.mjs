// Bundles the entry points into dist/ (shared code in common chunks, so that classes keep one identity) and writes the type declarations.
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { chmod, readdir, readFile, rename, rm, symlink, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { build } from "esbuild";

const root = new URL("..", import.meta.url).pathname;
const entries = {
  index: "index.ts",
  engine: "engine/index.ts",
  models: "models/index.ts",
  refiner: "refiner/index.ts",
  node: "node.ts",
  testing: "engine/testing/index.ts",
  "platform/node": "engine/platform/node.ts",
  "platform/deno": "engine/platform/deno.ts",
  "platform/browser": "engine/platform/browser.ts",
  "refiner/crop_worker": "refiner/evaluation/segmentation/crop_worker_node.ts",
  "refiner/decode_worker": "refiner/data/decoding/decode_worker_node.ts",
  "cli/main": "cli/main.ts",
  "cli/digest_worker": "cli/checkpoints/digest_worker.ts",
};

// TypeGPU is some 180 small modules that take longer to load than all the rest; one bundled copy starts several times faster.
const require = createRequire(import.meta.url);
const typegpuFolder = dirname(require.resolve("typegpu/package.json"));
const { dependencies } = JSON.parse(await readFile(join(typegpuFolder, "package.json"), "utf8"));
const inside = ["typegpu", ...Object.keys(dependencies)];
const packages = {
  name: "packages",
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^[^./#]|^#platform$/ }, ({ path, kind }) => {
      if (kind === "entry-point" || inside.includes(path)) return undefined;
      return { path, external: true, sideEffects: false };
    });
    // The copy keeps its notes to itself: as a global they would make the caller's own TypeGPU warn of a second one.
    onLoad({ filter: /typegpu[\\/]shared[\\/]meta\.js$/ }, async ({ path }) => ({
      contents: (await readFile(path, "utf8")).replace("= globalThis;", "= {};"),
    }));
  },
};

// Built beside its place and moved there whole, so that nothing ever sees half a build.
const folder = `dist-${process.pid}`;
const common = { absWorkingDir: root, outdir: folder, bundle: true, format: "esm", target: "es2022", sourcemap: true };
await build({
  ...common,
  entryPoints: Object.fromEntries(Object.entries(entries).filter(([, file]) => existsSync(join(root, file)))),
  splitting: true,
  platform: "neutral",
  plugins: [packages],
  loader: { ".wgsl": "text" },
  chunkNames: "chunks/[name]-[hash]",
  legalComments: "none",
  logLevel: "warning",
});
await build({ ...common, entryPoints: { step: "engine/step/load_step.ts" } }); // one file, to be taken along without the rest

const cli = join(root, folder, "cli/main.js");
if (existsSync(cli)) await chmod(cli, 0o755);

const beside = createRequire(join(typegpuFolder, "index.js"));
const licences = inside.map(async (name) => {
  const paths = (beside.resolve.paths(name) ?? []).map((path) => join(path, name, "LICENSE"));
  return `${name}\n\n${await readFile(paths.find(existsSync), "utf8")}`;
});
await writeFile(join(root, folder, "LICENSES.txt"), (await Promise.all(licences)).join("\n\n"));

const tsc = join(require.resolve("typescript/package.json"), "../bin/tsc");
const types = join(root, folder, "types");
try {
  const options = ["-p", join(root, "tsconfig.build.json"), "--outDir", types];
  execFileSync(process.execPath, [tsc, ...options], { stdio: "inherit" });
} catch {
  await rm(join(root, folder), { recursive: true, force: true });
  process.exit(1); // the compiler has said why
}
for (const file of await readdir(types, { recursive: true })) {
  if (!file.endsWith(".d.ts")) continue;
  const path = join(types, file);
  // Declarations name the files that stand beside them once installed.
  await writeFile(
    path,
    (await readFile(path, "utf8")).replace(/(from\s+|import\()"(\.{1,2}\/[^"]*)\.ts"/g, '$1"$2.js"'),
  );
}
await rm(join(root, "dist"), { recursive: true, force: true });
await rename(join(root, folder), join(root, "dist"));

// `npx mimrefine` in a checkout then starts this build at once, instead of packing and installing the checkout first.
const binaries = join(root, "node_modules/.bin");
if (process.platform !== "win32" && existsSync(binaries)) {
  await rm(join(binaries, "mimrefine"), { force: true });
  await symlink("../../dist/cli/main.js", join(binaries, "mimrefine"));
}

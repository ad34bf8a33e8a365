// Bundles the engine's property tests, and those of the embedded method and of evaluation on the device, for a runtime that vitest does not run on.
import { readdir, readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { basename, dirname, join } from "node:path";
import { build } from "esbuild";

const root = new URL("..", import.meta.url).pathname;
const folder = join(root, "test/engine");
const embedded = ["embedded", "one_hash", "data/views/rand_augment", "evaluation/kmeans", "evaluation/low_shot"].map(
  (name) => join(root, `test/refiner/${name}.test.ts`),
);

/** Tests of planning, replay, errors and texts: nothing of kernels in them depends on the runtime. */
const onlyInNode = new Set(
  [
    "replay",
    "planner",
    "kernels",
    "readme",
    "bad_input",
    "device_lost",
    "program",
    "naps",
    "parse_module",
    "print_module",
    "reproducible_text",
  ].map((name) => `${name}.test.ts`),
);

async function portableFiles() {
  const names = (await readdir(folder, { recursive: true }))
    .filter((name) => name.endsWith(".test.ts") && !name.startsWith("files/") && !onlyInNode.has(basename(name)))
    .sort();
  const texts = await Promise.all(names.map((name) => readFile(join(folder, name), "utf8")));
  const portable = names.filter((_, i) => !/from "node:(?!fs\/promises)|\bwriteFile\b/.test(texts[i]));
  const paths = [...portable.map((name) => join(folder, name)), ...embedded];
  const twice = paths.find((path, i) => paths.findIndex((other) => basename(other) === basename(path)) !== i);
  if (twice) throw new Error(`${basename(twice)}: two tests of this name, and a bundle goes by the name; rename one`);
  return paths;
}

/**
 * @param {"deno" | "browser"} runtime
 * @param {string} outdir
 * @returns {Promise<string[]>} names of the bundled files, without `.ts`
 */
export async function bundleTests(runtime, outdir) {
  const files = await portableFiles();
  const require = createRequire(import.meta.url);
  const vitestFolder = dirname(require.resolve("vitest/package.json"));
  const redirect = {
    name: "redirect",
    setup(context) {
      context.onResolve({ filter: /^vitest$/ }, () => ({ path: join(root, "test/runtimes/vitest.ts") }));
      context.onResolve({ filter: /^node:fs\/promises$|\/fixture\.ts$/ }, ({ importer }) =>
        importer.startsWith(join(root, "test")) ? { path: join(root, "test/runtimes/no_files.ts") } : undefined,
      );
      context.onResolve({ filter: /^fast-check$/ }, () => ({ path: join(root, "test/runtimes/fast_check.ts") }));
      context.onResolve({ filter: /^#platform$/ }, () => ({ path: join(root, `engine/platform/${runtime}.ts`) }));
      context.onResolve({ filter: /^@vitest\/expect$/ }, ({ path, pluginData, ...rest }) =>
        pluginData === "found"
          ? undefined
          : context.resolve(path, { ...rest, resolveDir: vitestFolder, pluginData: "found" }),
      );
    },
  };
  await build({
    absWorkingDir: root,
    entryPoints: [
      ...files.map((path) => ({ in: path, out: basename(path, ".ts") })),
      { in: join(root, "test/runtimes/vitest.ts"), out: "runner" },
    ],
    outdir,
    bundle: true,
    splitting: true,
    format: "esm",
    target: "es2022",
    platform: runtime === "browser" ? "browser" : "neutral",
    mainFields: ["module", "main"],
    conditions: [runtime, "import"],
    external: ["node:*"],
    define: runtime === "browser" ? { "process.env": "{}" } : {},
    loader: { ".wgsl": "text" },
    plugins: [redirect],
    logLevel: "warning",
  });
  return files.map((path) => basename(path, ".ts"));
}

/** Prints the tallies of all files as the last lines; the exit code says whether all passed. */
export function report(where, tallies) {
  let [passed, skipped, failed] = [0, 0, 0];
  for (const [name, tally] of Object.entries(tallies)) {
    passed += tally.passed;
    skipped += tally.skipped;
    failed += tally.failed.length;
    for (const { title, message } of tally.failed) console.error(`FAILED ${name}: ${title}\n  ${message}`);
  }
  console.log(`${where}: ${passed} passed, ${skipped} skipped, ${failed} failed`);
  return failed === 0 && passed > 0 ? 0 : 1;
}

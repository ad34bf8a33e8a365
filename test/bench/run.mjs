// npm run bench -- NAME [arguments]
// Bundles test/bench/NAME.ts as the package itself is bundled and runs it with Node; without a name, lists what there is.
import { spawn } from "node:child_process";
import { readdir, readFile, rm } from "node:fs/promises";
import { resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { build } from "esbuild";

const folder = fileURLToPath(new URL(".", import.meta.url));
const root = fileURLToPath(new URL("../../", import.meta.url));
const [name, ...rest] = process.argv.slice(2);
const names = (await readdir(folder))
  .filter((file) => file.endsWith(".ts"))
  .map((file) => file.replace(/\.ts$/, ""))
  .sort();

if (!names.includes(name)) {
  if (name !== undefined) console.error(`bench: there is no ${name}`);
  console.error("usage: npm run bench -- NAME [arguments]\n");
  for (const one of names) console.error(`${one.padEnd(12)} ${await purpose(one)}`);
  process.exit(name === undefined ? 0 : 2);
}

// Inside the checkout, so that packages are found; a file of its own per process, so that two runs do not meet.
const bundle = `${root}dist/bench_${name}_${process.pid}.mjs`;
await build({
  absWorkingDir: root,
  entryPoints: [`${folder}${name}.ts`],
  outfile: bundle,
  bundle: true,
  format: "esm",
  target: "es2022",
  platform: "node",
  packages: "external",
  alias: { "#platform": `${root}engine/platform/node.ts` },
  loader: { ".wgsl": "text" },
  plugins: [{ name: "rivals", setup: keepRivals }],
  logLevel: "warning",
});
const child = spawn(process.execPath, [bundle, ...rest], { stdio: "inherit" });
child.on("exit", async (code, signal) => {
  await rm(bundle, { force: true });
  process.exit(signal ? 1 : (code ?? 1));
});

/** Rivals are loaded from where their packages are installed. */
function keepRivals(bundling) {
  bundling.onResolve({ filter: /\/rivals\// }, ({ path, resolveDir }) => ({
    path: pathToFileURL(resolve(resolveDir, path)).href,
    external: true,
  }));
}

/** The first sentence of the file's opening comment. */
async function purpose(one) {
  const [, text = ""] = /^\/\*\*?([\s\S]*?)\*\//.exec(await readFile(`${folder}${one}.ts`, "utf8")) ?? [];
  return text
    .replace(/\s*\n \* ?/g, " ")
    .trim()
    .split(/(?<=[.:;]) /)[0];
}

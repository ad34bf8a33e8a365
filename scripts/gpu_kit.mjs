// Writes one archive that measures a GPU on a Linux machine without network and without Node: this Node's binary, Dawn, the build and
// the packages that it loads, and a script that starts the checks and the report. `npm run gpu-kit [FILE]` after a build.
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { chmod, copyFile, cp, mkdir, mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { arch, argv, execPath, exit, platform } from "node:process";

const root = new URL("..", import.meta.url).pathname;
const require = createRequire(import.meta.url);
const mostBytes = 48 * 2 ** 20;
const { version, imports } = JSON.parse(await readFile(join(root, "package.json"), "utf8"));
const name = `mimrefine-gpu-kit-${version}-${platform}-${arch}`;
const file = resolve(argv[2] ?? `${name}.tar.gz`);
let exitCode = 0;
if (!existsSync(join(root, "dist/cli/main.js"))) throw new Error("gpu-kit: nothing is built; run npm run build");

/** What the command line loads; `sharp` decodes images, which no measurement does, and is larger than all the others. */
const packages = ["commander", "hyparquet", "hyparquet-writer", "yaml", "zod"];
const withoutImages = `const refuse = () => {
  throw new Error("the GPU kit decodes no images; install mimrefine for that");
};
const ignore = () => undefined; // settings of the decoder
export default Object.assign(refuse, { cache: ignore, concurrency: ignore, simd: ignore });
`;
const start = `#!/bin/sh
# Checks this machine's GPU and measures it for about ten minutes. Writes gpu.json and gpu.html beside this script, or what it is
# given as options: see ./start.sh --help.
case "$0" in */*) here=\${0%/*} ;; *) here=. ;; esac
here=$(cd "$here" && pwd) || exit 1
export MIMREFINE_CACHE="\${MIMREFINE_CACHE:-$here/cache}"
run() { "$here/bin/node" "$here/dist/cli/main.js" "$@"; }
case "$1" in --help) run bench --help; exit ;; esac
run doctor || echo "doctor found faults; the report goes on and states them" >&2
run bench --gpu-report "$here/gpu.json" --force "$@"
`;
const readMe = `mimrefine GPU kit ${version} for ${platform} ${arch}

  ./start.sh                 all measurements, about nine minutes
  ./start.sh --budget 120    two minutes
  ./start.sh --adapter NAME  another adapter: a part of its name

It needs the driver of the GPU's vendor and its Vulkan loader (libvulkan.so.1), and no network. Please send gpu.json and gpu.html; they
name no user, host or path.
`;

const folder = await mkdtemp(join(tmpdir(), "mimrefine-kit-"));
try {
  await fill(join(folder, name));
  // gzip, which every Linux unpacks; its best level takes twice as long for one per cent.
  execFileSync("tar", ["--owner=0", "--group=0", "-czf", file, "-C", folder, name], { stdio: "inherit" });
  const { size } = await stat(file);
  console.log(`${file}: ${(size / 2 ** 20).toFixed(1)} MiB`);
  if (size > mostBytes) {
    console.error(
      `gpu-kit: larger than ${mostBytes / 2 ** 20} MiB; run it with a Node whose binary is smaller, such as an older one`,
    );
    exitCode = 1;
  }
} finally {
  await rm(folder, { recursive: true, force: true });
}
exit(exitCode);

async function fill(kit) {
  const write = async (path, text) => {
    await mkdir(dirname(join(kit, path)), { recursive: true });
    await writeFile(join(kit, path), text);
  };
  await write("package.json", JSON.stringify({ name: "mimrefine", version, type: "module", imports }));
  await write("README.txt", readMe);
  await write("start.sh", start);
  await write("node_modules/sharp/package.json", JSON.stringify({ name: "sharp", type: "module", main: "index.js" }));
  await write("node_modules/sharp/index.js", withoutImages);
  await mkdir(join(kit, "bin"));
  await copyFile(execPath, join(kit, "bin/node"));
  for (const path of ["bin/node", "start.sh"]) await chmod(join(kit, path), 0o755);
  await copyFile(join(root, "LICENSE"), join(kit, "LICENSE"));
  await cp(join(root, "dist"), join(kit, "dist"), {
    recursive: true,
    filter: (path) => !/\.map$|dist\/types/.test(path),
  });
  for (const one of packages) await copyPackage(kit, one, (path) => !/\.(map|d\.[cm]?ts)$/.test(path));
  const dawn = `${platform}-${platform === "darwin" ? "universal" : arch}`;
  await copyPackage(
    kit,
    "webgpu",
    (path) => !/\/(dist|build|node_modules)\/./.test(path) || path.includes(`/dist/${dawn}`),
  );
}

/** @param {(path: string) => boolean} isWanted - sees paths inside of the package */
async function copyPackage(kit, one, isWanted) {
  const paths = require.resolve.paths(one) ?? [];
  const from = paths.map((path) => join(path, one)).find(existsSync);
  if (from === undefined) throw new Error(`gpu-kit: the package ${one} is not installed; run npm ci`);
  const filter = (path) => isWanted(path.slice(from.length));
  await cp(from, join(kit, "node_modules", one), { recursive: true, dereference: true, filter });
}

import { execFile, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, it } from "vitest";
import { findSwiftShader } from "../../engine/platform/swiftshader_node.ts";
import { installPacked } from "../../scripts/install_packed.mjs";

const minutes = 60_000;
const run = promisify(execFile);
let folder = "";

beforeAll(async () => {
  if (!existsSync("dist/engine.js")) throw new Error("the package is not built; run npm run build first");
  folder = await installPacked(await mkdtemp(join(tmpdir(), "mimrefine-installed-")));
  // The optional peer that holds a software driver, for systems without one.
  await mkdir(join(folder, "node_modules/@sparticuz"), { recursive: true });
  await symlink(resolve("node_modules/@sparticuz/chromium"), join(folder, "node_modules/@sparticuz/chromium"));
}, 5 * minutes);
afterAll(() => rm(folder, { recursive: true, force: true }));

it("the installed engine computes", { timeout: 2 * minutes }, async () => {
  const code = `import { gelu, openDevice } from "mimrefine/engine";
    const device = await openDevice({ notice: () => {} });
    console.log((await gelu(device.tensor([1])).read())[0].toFixed(4));
    process.exit(0);`;
  const { stdout } = await run(process.execPath, ["--input-type=module", "-e", code], { cwd: folder });
  expect(stdout.trim()).toBe("0.8413");
});

it("the installed command finds every kernel right", { timeout: 3 * minutes }, async () => {
  const command = join(folder, "node_modules/.bin/mimrefine");
  const { stdout } = await run(command, ["doctor", "--json"], { cwd: folder });
  const lines = stdout.trim().split("\n");
  expect(lines.length).toBe(1);
  const report: unknown = JSON.parse(lines[0] ?? "");
  expect(report).toMatchObject({ pass: true, unsupported: [] });
});

it("every entry point of the installed package loads and has types", { timeout: minutes }, async () => {
  const names = ["", "/engine", "/models", "/refiner"];
  const code = `for (const name of ${JSON.stringify(names)}) console.log(Object.keys(await import("mimrefine" + name)).length > 5);
    process.exit(0);`;
  const { stdout } = await run(process.execPath, ["--input-type=module", "-e", code], { cwd: folder });
  expect(stdout.trim().split("\n")).toEqual(names.map(() => "true"));
  const manifest = JSON.parse(await readFile(join(folder, "node_modules/mimrefine/package.json"), "utf8"));
  for (const entry of Object.values(manifest.exports)) {
    if (typeof entry !== "object" || !entry) continue;
    for (const file of Object.values(entry))
      expect(existsSync(join(folder, "node_modules/mimrefine", file))).toBe(true);
  }
});

it("the installed package opens a checkpoint by its path and recognises the encoder", {
  timeout: minutes,
}, async () => {
  const code = `import { openCheckpoint, openFile } from "mimrefine/engine";
    import { openEncoder } from "mimrefine/models";
    const checkpoint = await openCheckpoint(await openFile(process.argv[1]));
    console.log((await openEncoder(checkpoint)).report.family);
    await checkpoint.close();
    process.exit(0);`;
  const file = resolve("test/fixtures/checkpoints/mae.pth");
  const { stdout } = await run(process.execPath, ["--input-type=module", "-e", code, file], { cwd: folder });
  expect(stdout.trim()).toBe("MAE (Facebook)");
});

it("the installed demo runs without a network or an option, and leaves a run when it is stopped", {
  timeout: 8 * minutes,
}, async () => {
  const child = spawn(process.execPath, [join(folder, "node_modules/mimrefine/dist/cli/main.js"), "demo", "--json"], {
    cwd: folder,
    stdio: ["ignore", "pipe", "pipe"],
  });
  let err = "";
  child.stderr.on("data", (chunk: Buffer) => {
    err += String(chunk);
    if (/held-out ones are classified/.test(err)) child.kill("SIGINT");
  });
  const code = await new Promise((resolve) => child.on("close", resolve));
  expect([code, err]).toEqual([130, expect.stringContaining("held-out ones are classified")]);
  const config: unknown = JSON.parse(await readFile(join(folder, "runs/demo/config.json"), "utf8"));
  expect(config).toMatchObject({ command: "demo" });
});

/** Deno finds a driver only through the Vulkan loader: where none is named, SwiftShader with the loader beside it. */
async function environmentOfDeno(): Promise<NodeJS.ProcessEnv> {
  if (process.env.VK_DRIVER_FILES || process.env.VK_ICD_FILENAMES) return process.env;
  const driver = await findSwiftShader();
  if (!driver) return process.env;
  return { ...process.env, VK_DRIVER_FILES: driver.manifest, LD_LIBRARY_PATH: dirname(driver.loader) };
}

it("the library's example runs in Deno from the installed package", { timeout: 3 * minutes }, async () => {
  // The launcher of the npm package unpacks the binary on its first run.
  const launcher = join(dirname(createRequire(import.meta.url).resolve("deno/package.json")), "bin.cjs");
  const readme = await readFile(join(folder, "node_modules/mimrefine/README.md"), "utf8");
  const example = /<!-- run: (loss.*?) -->\n```ts\n([\s\S]*?)```/.exec(readme);
  await writeFile(join(folder, "example.js"), `${example?.[2]}Deno.exit(0);\n`);
  const flags = ["run", "--allow-all", "--no-lock", "--quiet", "--node-modules-dir=manual"];
  const env = await environmentOfDeno();
  const { stdout } = await run(process.execPath, [launcher, ...flags, "example.js"], { cwd: folder, env });
  expect(example?.[1]).toBeDefined();
  expect(stdout).toContain(example?.[1]);
});

it("shaders are installed as files", () => {
  expect(existsSync(join(folder, "node_modules/mimrefine/shaders/gelu.wgsl"))).toBe(true);
});

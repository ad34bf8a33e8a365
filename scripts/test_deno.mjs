// Runs the engine's property tests, the embedded method and the packed package under Deno's own WebGPU.
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { bundleTests, report } from "./bundle_tests.mjs";
import { installPacked } from "./install_packed.mjs";

const only = process.argv.slice(2);
const deno = join(dirname(createRequire(import.meta.url).resolve("deno/package.json")), "deno");
if (!existsSync(deno) && spawnSync("npx", ["deno", "--version"]).status !== 0) {
  console.log("test:deno skipped: the npm package deno has no binary for this system");
  process.exit(0);
}

const folder = await mkdtemp(join(tmpdir(), "mimrefine-deno-"));
try {
  const names = (await bundleTests("deno", join(folder, "tests"))).filter(
    (name) => only.length === 0 || only.some((part) => name.includes(part)),
  );
  const results = join(folder, "results.json");
  await writeFile(
    join(folder, "run.mjs"),
    `import { runFile } from "./tests/runner.js";
const tallies = {};
for (const name of ${JSON.stringify(names)}) {
  tallies[name] = await runFile(() => import("./tests/" + name + ".js"));
  const { passed, skipped, failed } = tallies[name];
  console.log(name + ": " + passed + " passed, " + skipped + " skipped, " + failed.length + " failed");
}
Deno.writeTextFileSync(${JSON.stringify(results)}, JSON.stringify(tallies));
Deno.exit(0);
`,
  );
  const flags = ["run", "--allow-all", "--no-config", "--no-lock", "--quiet"];
  spawnSync(deno, [...flags, "run.mjs"], { cwd: folder, stdio: "inherit" });
  const tallies = existsSync(results)
    ? JSON.parse(await readFile(results, "utf8"))
    : { deno: { passed: 0, skipped: 0, failed: [{ title: "run", message: "ended before the last test" }] } };

  if (only.length === 0) {
    const installed = await installPacked(join(folder, "installed"));
    await writeFile(
      join(installed, "smoke.mjs"),
      `import { gelu, openDevice } from "mimrefine/engine";
const device = await openDevice();
const [y] = await gelu(device.tensor([1])).read();
if (Math.abs(y - 0.841345) > 1e-5) throw new Error("gelu(1) is " + y);
console.log("installed package under Deno: " + device.info.name);
Deno.exit(0);
`,
    );
    const smoke = spawnSync(deno, [...flags, "--node-modules-dir=manual", "smoke.mjs"], {
      cwd: installed,
      stdio: "inherit",
    });
    tallies["installed package"] = {
      passed: smoke.status === 0 ? 1 : 0,
      skipped: 0,
      failed: smoke.status === 0 ? [] : [{ title: "import", message: `exit code ${smoke.status}` }],
    };
  }
  process.exitCode = report("Deno", tallies);
} finally {
  await rm(folder, { recursive: true, force: true });
}

import { execFileSync } from "node:child_process";
import { existsSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { Pool } from "./pool.mjs";
import { reference } from "./references.mjs";
import { geometricMean, median } from "./statistics.mjs";

/** `option` says which of its backends a module opens; `cpu`: on the processor itself and not on the adapter. */
export const entries = [
  { name: "ours", module: "ours.mjs" },
  { name: "tfjs", module: "tfjs.mjs" },
  { name: "jax-js", module: "jax_js.mjs", option: "webgpu" },
  { name: "onnxruntime", module: "onnxruntime.mjs" },
  { name: "jax-js wasm", module: "jax_js.mjs", option: "wasm", cpu: true },
];
const isWindows = process.platform === "win32"; // npm is a script there
const everyRow = ["tfjs", "jax-js"]; // the libraries that train as well; a row's `extras` join them

/**
 * Times this engine and its rivals on one adapter. Each runs in a process of its own; per repetition each computes
 * once while the others wait, so that a busy moment of the machine meets all of them. Medians are compared.
 *
 * @param {{ rows: object[], rivals?: string[], repeats: number, json?: string }} options
 */
export async function compareRivals(options) {
  installRivals();
  const pool = new Pool(entries);
  const report = { adapter: undefined, repeats: options.repeats, rows: [] };
  try {
    for (const row of options.rows) {
      const result = await measure(pool, row, options);
      report.adapter = pool.adapter;
      report.rows.push(result);
      console.log(line(result));
      for (const [name, reason] of Object.entries(result.reasons)) console.log(`    ${name} is missing: ${reason}`);
      if (options.json) writeFileSync(options.json, `${JSON.stringify(report)}\n`);
    }
  } finally {
    pool.stop();
  }
  console.log(summary(report));
  if (report.rows.some((row) => row.oursMs === null)) process.exitCode = 1;
}

/** Installs the rivals' packages where they are missing. */
export function installRivals() {
  const folder = fileURLToPath(new URL(".", import.meta.url));
  if (existsSync(new URL("node_modules/onnxruntime-node/package.json", import.meta.url))) return;
  console.log("installing the rivals (about 700 MB) ...");
  const flags = ["--ignore-scripts", "--no-audit", "--no-fund", "--no-package-lock"];
  execFileSync("npm", ["install", ...flags], { cwd: folder, stdio: "inherit", shell: isWindows });
}

async function measure(pool, row, options) {
  const expected = reference(row);
  const names = ["ours", ...(options.rivals ?? [...everyRow, ...(row.extras ?? [])])];
  const reasons = {};
  const running = [];
  const attempt = async (name, action) => {
    try {
      return await action();
    } catch (error) {
      reasons[name] = error.message;
    }
  };
  for (const name of new Set(names)) {
    await attempt(name, async () => {
      const contestant = await pool.get(name);
      const { count } = await contestant.prepare(row, expected);
      running.push({ name, contestant, count, times: [] });
    });
  }
  for (let repetition = 0; repetition < options.repeats; repetition++) {
    const first = repetition % running.length; // whoever follows a heavy one is not always the same
    for (const entry of [...running.slice(first), ...running.slice(0, first)]) {
      if (reasons[entry.name]) continue;
      await attempt(entry.name, async () => {
        entry.times.push((await entry.contestant.ask({ type: "time", count: entry.count })).ms);
      });
    }
  }
  for (const { name, contestant } of running) await attempt(name, () => contestant.ask({ type: "release" }));
  const medians = running.filter(({ name }) => !reasons[name]).map((entry) => [entry, median(entry.times)]);
  const times = (accept) =>
    Object.fromEntries(medians.filter(([{ contestant }]) => accept(contestant)).map(([{ name }, ms]) => [name, ms]));
  return {
    work: row.work,
    oursMs: times(({ name }) => name === "ours").ours ?? null,
    rivals: times(({ name, cpu }) => name !== "ours" && !cpu),
    cpu: times(({ cpu }) => cpu), // rivals that run on the processor itself and not on the adapter
    missing: Object.keys(reasons),
    reasons,
  };
}

/** How many times the best rival's time is ours; undefined where either is missing. */
function lead({ oursMs, rivals }) {
  const best = Math.min(...Object.values(rivals));
  return oursMs && Number.isFinite(best) ? best / oursMs : undefined;
}

function line(result) {
  const all = { ours: result.oursMs ?? undefined, ...result.rivals, ...result.cpu };
  const cells = Object.entries(all).map(
    ([name, ms]) => `${name} ${ms === undefined ? "-" : `${ms.toPrecision(3)} ms`}`,
  );
  const ratio = lead(result);
  return `${result.work.padEnd(20)} ${ratio ? `${ratio.toFixed(2)}x`.padStart(7) : "      -"}   ${cells.join("   ")}`;
}

function summary({ adapter, repeats, rows: results }) {
  const leads = results.filter(({ work }) => work.includes("matmul")).map(lead);
  const complete = leads.length > 0 && leads.every((value) => value !== undefined);
  const mean = complete ? geometricMean(leads) : undefined;
  const slower = results.filter((result) => lead(result) < 1).map(({ work }) => work);
  return [
    `adapter: ${adapter}; medians of ${repeats} interleaved repetitions; x: best WebGPU rival / ours`,
    `matmuls, geometric mean: ${mean ? `${mean.toFixed(2)}x` : "-"}; slower than a rival: ${slower.join(", ") || "none"}`,
  ].join("\n");
}

import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { Pool } from "./pool.mjs";
import { reference } from "./references.mjs";
import { geometricMean, median } from "./statistics.mjs";

/** `option` says which of its backends a module opens; `cpu`: on the processor itself and not on the adapter. */
export const entries = [
  { name: "ours", module: "ours.mjs" },
  { name: "tfjs", module: "tfjs.mjs", option: "webgpu" },
  { name: "jax-js", module: "jax_js.mjs", option: "webgpu" },
  { name: "onnxruntime", module: "onnxruntime.mjs" },
  { name: "jax-js wasm", module: "jax_js.mjs", option: "wasm", cpu: true },
  { name: "tfjs wasm", module: "tfjs.mjs", option: "wasm", cpu: true },
  { name: "torch", module: "torch.mjs", cpu: true },
];
const isWindows = process.platform === "win32"; // npm is a script there
const everyRow = ["tfjs", "jax-js", "tfjs wasm", "torch"]; // the libraries that train as well; a row's `extras` join them

/**
 * Times this engine and its rivals on one adapter. Each runs in a process of its own; per repetition each computes
 * once while the others wait, so that a busy moment of the machine meets all of them. Ratios are medians of those of the repetitions.
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
  if (report.rows.some(({ times }) => !times.ours)) process.exitCode = 1;
}

/** Installs the rivals' packages where they are missing. */
export function installRivals() {
  const folder = fileURLToPath(new URL(".", import.meta.url));
  const { dependencies } = JSON.parse(readFileSync(new URL("package.json", import.meta.url), "utf8"));
  const isThere = (name) => existsSync(new URL(`node_modules/${name}/package.json`, import.meta.url));
  if (Object.keys(dependencies).every(isThere)) return;
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
      running.push({ name, contestant, count, wall: [], cpu: [] });
    });
  }
  for (let repetition = 0; repetition < options.repeats; repetition++) {
    const first = repetition % running.length; // whoever follows a heavy one is not always the same
    for (const entry of [...running.slice(first), ...running.slice(0, first)]) {
      if (reasons[entry.name]) continue;
      await attempt(entry.name, async () => {
        const { ms, cpuMs } = await entry.contestant.ask({ type: "time", count: entry.count });
        entry.wall[repetition] = ms;
        entry.cpu[repetition] = cpuMs;
      });
    }
  }
  for (const { name, contestant } of running) await attempt(name, () => contestant.ask({ type: "release" }));
  const complete = running.filter(({ name }) => !reasons[name]);
  const ours = complete.find(({ name }) => name === "ours");
  return {
    work: row.work,
    times: Object.fromEntries(complete.map((entry) => [entry.name, timesOf(entry, ours)])),
    missing: Object.keys(reasons),
    reasons,
  };
}

/**
 * Medians of a contestant, and of its time over ours, repetition by repetition: `wall` time, and `cpu`, the time of its process in all threads.
 * `onProcessor`: it computes on the processor itself and not on the adapter.
 */
function timesOf({ contestant, wall, cpu }, ours) {
  const ratio = (key, values) => ours && median(values.map((value, repetition) => value / ours[key][repetition]));
  return {
    onProcessor: contestant.cpu,
    wallMs: median(wall),
    cpuMs: median(cpu),
    wallRatio: ratio("wall", wall),
    cpuRatio: ratio("cpu", cpu),
  };
}

/** How many times the best WebGPU rival's time is ours, by `key`; undefined where either is missing. */
function lead({ times }, key) {
  const rivals = Object.entries(times).filter(([name, { onProcessor }]) => name !== "ours" && !onProcessor);
  const best = Math.min(...rivals.map(([, time]) => time[key] ?? Number.NaN));
  return Number.isFinite(best) ? best : undefined;
}

function line(result) {
  const cells = (ms, ratio) =>
    Object.entries(result.times).map(
      ([name, time]) =>
        `${name} ${time[ms].toPrecision(3)} ms${name === "ours" || !time[ratio] ? "" : ` (${time[ratio].toPrecision(3)})`}`,
    );
  const row = (label, ms, ratio) => {
    const best = lead(result, ratio);
    return `${label.padEnd(20)} ${best ? `${best.toFixed(2)}x`.padStart(7) : "      -"}   ${cells(ms, ratio).join("   ")}`;
  };
  return `${row(result.work, "wallMs", "wallRatio")}\n${row("    processor", "cpuMs", "cpuRatio")}`;
}

function summary({ adapter, repeats, rows: results }) {
  const mean = (key) => {
    const leads = results.filter(({ work }) => work.includes("matmul")).map((result) => lead(result, key));
    return leads.length > 0 && leads.every((value) => value !== undefined)
      ? `${geometricMean(leads).toFixed(2)}x`
      : "-";
  };
  const slower = results.filter((result) => lead(result, "wallRatio") < 1).map(({ work }) => work);
  return [
    `adapter: ${adapter}; medians of ${repeats} interleaved repetitions; in brackets: time over ours; x: the best WebGPU rival's`,
    `matmuls, geometric mean: ${mean("wallRatio")} wall, ${mean("cpuRatio")} processor; slower than a WebGPU rival: ${slower.join(", ") || "none"}`,
  ].join("\n");
}

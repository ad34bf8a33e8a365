// npm run bench:rivals -- [--json FILE] [--rows a,b] [--rivals a,b] [--repeats N]
// Times this engine and its rivals on one adapter. Each runs in a process of its own; per repetition each computes
// once while the others wait, so that a busy moment of the machine meets all of them. Medians are compared.
import { execFileSync } from "node:child_process";
import { existsSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { Contestant } from "./contestant.mjs";
import { reference } from "./references.mjs";
import { rows } from "./work/rows.mjs";

const entries = [
  { name: "ours", module: "ours.mjs" },
  { name: "tfjs", module: "tfjs.mjs" },
  { name: "jax-js", module: "jax_js.mjs", option: "webgpu" },
  { name: "onnxruntime", module: "onnxruntime.mjs" },
  { name: "jax-js wasm", module: "jax_js.mjs", option: "wasm", cpu: true },
];
const root = new URL("../../../", import.meta.url);
const isWindows = process.platform === "win32"; // npm is a script there
const everyRow = ["tfjs", "jax-js"]; // the libraries that train as well; a row's `extras` join them
const repetitionMs = 100; // shorter work is repeated within a repetition until it takes about this long
const mostPerRepetition = 20;

const options = parseOptions();
buildOurs();
installRivals();
const contestants = new Map();
const starts = new Map();
const report = { adapter: undefined, repeats: options.repeats, rows: [] };
try {
  for (const row of options.rows) {
    const result = await measure(row);
    report.rows.push(result);
    console.log(line(result));
    for (const [name, reason] of Object.entries(result.reasons)) console.log(`    ${name} is missing: ${reason}`);
    if (options.json) writeFileSync(options.json, `${JSON.stringify(report)}\n`);
  }
} finally {
  for (const contestant of contestants.values()) contestant.stop();
}
console.log(summary(report.rows));
if (report.rows.some((row) => row.oursMs === null)) process.exitCode = 1;

function parseOptions() {
  const { values } = parseArgs({
    options: {
      json: { type: "string" },
      rows: { type: "string" },
      rivals: { type: "string" },
      repeats: { type: "string", default: "5" },
    },
  });
  const pick = (list, wanted, key, option) =>
    wanted.split(",").map((name) => {
      const found = list.find((item) => item[key] === name.trim());
      if (!found) throw new Error(`--${option} ${name}: choose from ${list.map((item) => item[key]).join(", ")}`);
      return found;
    });
  const repeats = Number(values.repeats);
  if (!Number.isInteger(repeats) || repeats < 1)
    throw new Error(`--repeats ${values.repeats}: want a whole number from 1`);
  return {
    json: values.json,
    repeats,
    rows: values.rows ? pick(rows, values.rows, "work", "rows") : rows,
    rivals: values.rivals ? pick(entries, values.rivals, "name", "rivals").map(({ name }) => name) : undefined,
  };
}

function buildOurs() {
  if (existsSync(new URL("dist/engine.js", root))) return;
  execFileSync("npm", ["run", "build"], { cwd: fileURLToPath(root), stdio: "inherit", shell: isWindows });
}

function installRivals() {
  const folder = fileURLToPath(new URL(".", import.meta.url));
  if (existsSync(new URL("node_modules/onnxruntime-node/package.json", import.meta.url))) return;
  console.log("installing the rivals (about 700 MB) ...");
  const flags = ["--ignore-scripts", "--no-audit", "--no-fund", "--no-package-lock"];
  execFileSync("npm", ["install", ...flags], { cwd: folder, stdio: "inherit", shell: isWindows });
}

/** A running contestant; one that died is started again, one that cannot start is not tried twice. */
async function contestantFor(name) {
  let contestant = contestants.get(name);
  if (!contestant || (contestant.ready && contestant.dead)) {
    contestant = new Contestant(entries.find((entry) => entry.name === name));
    contestants.set(name, contestant);
    starts.set(name, contestant.start());
  }
  await starts.get(name);
  contestant.ready = true;
  report.adapter ??= contestant.adapter;
  if (contestant.adapter && contestant.adapter !== report.adapter) {
    throw new Error(
      `it runs on ${contestant.adapter}, the others on ${report.adapter}; set VK_DRIVER_FILES to one driver`,
    );
  }
  return contestant;
}

async function measure(row) {
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
      const contestant = await contestantFor(name);
      const { result } = await contestant.ask({ type: "prepare", work: row.work });
      const error = row.error(result, expected);
      if (!(error <= row.bound)) throw new Error(`wrong result: off by ${error}, allowed are ${row.bound}`);
      const { ms } = await contestant.ask({ type: "time", count: 1 });
      const count = Math.max(1, Math.min(mostPerRepetition, Math.round(repetitionMs / ms)));
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

function median(values) {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
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

function summary(results) {
  const leads = results.filter(({ work }) => work.includes("matmul")).map(lead);
  const complete = leads.length > 0 && leads.every((value) => value !== undefined);
  const mean = complete ? Math.exp(leads.reduce((sum, value) => sum + Math.log(value), 0) / leads.length) : undefined;
  const slower = results.filter((result) => lead(result) < 1).map(({ work }) => work);
  return [
    `adapter: ${report.adapter}; medians of ${options.repeats} interleaved repetitions; x: best WebGPU rival / ours`,
    `matmuls, geometric mean: ${mean ? `${mean.toFixed(2)}x` : "-"}; slower than a rival: ${slower.join(", ") || "none"}`,
  ].join("\n");
}

import { writeFileSync } from "node:fs";
import { availableParallelism, loadavg } from "node:os";
import { Pool } from "./pool.mjs";
import { reference } from "./references.mjs";
import { meanOfMedians, median, spread } from "./statistics.mjs";
import { buildCommit, describeTree } from "./worktree.mjs";

const wantedRounds = 7; // fewer say little: the median of 7 ratios still stands if three rounds were disturbed

/**
 * Times this tree's build against another commit's, each in a process of its own, by the same bench files. In a round
 * both compute twice, in the order A B B A (the next round: B A A B), while the other waits: a machine that gets slower
 * or faster at an even pace meets both alike. A round gives one ratio; the median of the ratios is the result.
 *
 * @param {{ against: string, rows: object[], repeats: number, cpu: boolean, json?: string }} options
 */
export async function compareCommits(options) {
  const tree = describeTree();
  const other = await buildCommit(options.against);
  const pool = new Pool([
    { name: "here", module: "ours.mjs" },
    { name: "there", module: "ours.mjs", option: other.dist },
  ]);
  const report = {
    here: tree,
    against: other.name,
    adapter: undefined,
    rounds: options.repeats,
    loadBefore: loadavg()[0],
    works: [],
    onlyThere: await missingRows(other),
  };
  console.log(heading(report, options));
  try {
    for (const row of options.rows) {
      const result = await measure(pool, row, options.repeats);
      report.adapter = pool.adapter;
      report.works.push(result);
      console.log(line(result, other.name, options));
      save(report, options);
    }
  } finally {
    pool.stop();
  }
  const compared = report.works.filter(({ ratios }) => ratios);
  report.mean = meanOfMedians(compared.map(({ ratios }) => ratios.wall));
  report.cpuMean = meanOfMedians(compared.map(({ ratios }) => ratios.cpu));
  save(report, options);
  console.log(summary(report, options));
  if (compared.length < report.works.length) process.exitCode = 1;
}

/** Names of works that only the other commit's benchmark has. */
async function missingRows({ folder }) {
  try {
    const { rows: theirs } = await import(new URL("test/bench/rivals/work/rows.mjs", folder).href);
    const { rows: ours } = await import("./work/rows.mjs");
    return theirs.map(({ work }) => work).filter((work) => !ours.some((row) => row.work === work));
  } catch (error) {
    if (error.code === "ERR_MODULE_NOT_FOUND") return []; // a commit from before this benchmark
    throw error;
  }
}

async function measure(pool, row, rounds) {
  const failures = {};
  const sides = [];
  const expected = reference(row);
  for (const name of ["here", "there"]) {
    try {
      const contestant = await pool.get(name);
      const { result, count } = await contestant.prepare(row, expected);
      sides.push({ name, contestant, result, count, wall: [], cpu: [] });
    } catch (error) {
      failures[name] = error.message;
    }
  }
  if (sides.length === 2) {
    try {
      await takeTurns(sides, rounds);
    } catch (error) {
      failures["while timed"] = error.message;
    }
  }
  for (const { contestant } of sides) if (!contestant.dead) await contestant.ask({ type: "release" });
  return Object.keys(failures).length > 0 ? { work: row.work, failures } : { work: row.work, ...pairs(sides) };
}

/** Fills the `wall` and `cpu` times of both sides, in ms, two per round. */
async function takeTurns(sides, rounds) {
  const count = Math.min(...sides.map((side) => side.count)); // the same for both
  for (let round = 0; round < rounds; round++) {
    const [first, second] = round % 2 ? sides.toReversed() : sides;
    for (const side of [first, second, second, first]) {
      const { ms, cpuMs } = await side.contestant.ask({ type: "time", count });
      side.wall.push(ms);
      side.cpu.push(cpuMs);
    }
  }
}

function pairs([here, there]) {
  const ofRounds = (times) => times.flatMap((ms, i) => (i % 2 ? [(ms + times[i - 1]) / 2] : []));
  const ratios = (measure) => {
    const base = ofRounds(there[measure]);
    return ofRounds(here[measure]).map((ms, round) => ms / base[round]);
  };
  return {
    hereMs: median(here.wall),
    thereMs: median(there.wall),
    hereCpuMs: median(here.cpu),
    thereCpuMs: median(there.cpu),
    ratios: { wall: ratios("wall"), cpu: ratios("cpu") },
    ratio: spread(ratios("wall")),
    cpuRatio: spread(ratios("cpu")),
    sameBits:
      here.result.length === there.result.length && here.result.every((value, i) => Object.is(value, there.result[i])),
  };
}

function save(report, { json }) {
  if (json) writeFileSync(json, `${JSON.stringify(report)}\n`);
}

function heading({ here, against, rounds, loadBefore }, { cpu }) {
  const lines = [
    `this tree (${here.name}${here.changed ? " with changes" : ""}) against ${against}; ${rounds} rounds of two runs each`,
  ];
  if (rounds < wantedRounds) lines.push(`note: fewer than ${wantedRounds} rounds are a try, no measurement`);
  if (loadBefore > availableParallelism() / 4) {
    lines.push(`note: this machine was busy before (load ${loadBefore.toFixed(1)} on ${availableParallelism()} cores)`);
  }
  lines.push(columns("work", "this tree", against, "ratio", "quartiles", "range", cpu ? "processor" : ""));
  return lines.join("\n");
}

function line(result, against, { cpu }) {
  if (result.failures) {
    const { here, there, ...others } = result.failures;
    const reasons = Object.entries(others).map(([when, reason]) => `${when}: ${reason}`);
    if (here) reasons.push(`not in this tree: ${here}`);
    if (there) reasons.push(`not in ${against}: ${there}`);
    return `${result.work.padEnd(20)}  not compared; ${reasons.join("; ")}`;
  }
  const { work, hereMs, thereMs, hereCpuMs, thereCpuMs, ratio, cpuRatio, sameBits } = result;
  const processor = `${cpuRatio.median.toFixed(3)} (${time(hereCpuMs)} : ${time(thereCpuMs)}; ${range(cpuRatio)})`;
  const quartiles = `${ratio.lowerQuartile.toFixed(3)}..${ratio.upperQuartile.toFixed(3)}`;
  const cells = [work, time(hereMs), time(thereMs), ratio.median.toFixed(3), quartiles, range(ratio)];
  return `${columns(...cells, cpu ? processor : "")}${sameBits ? "" : "  other bits"}`;
}

function summary({ adapter, against, mean, cpuMean, onlyThere, works }, { cpu }) {
  const interval = ({ mean, low, high }) => `${mean.toFixed(3)} (95 %: ${low.toFixed(3)}..${high.toFixed(3)})`;
  const lines = [
    `adapter: ${adapter}`,
    `ratio: this tree's time over ${against}'s, under 1 is faster; median, quartiles and range of the rounds' ratios`,
  ];
  if (mean)
    lines.push(`geometric mean of the ratios: ${interval(mean)}${cpu ? `, processor ${interval(cpuMean)}` : ""}`);
  const missing = works.filter(({ failures }) => failures).map(({ work }) => work);
  if (missing.length > 0) lines.push(`not compared, and not in the mean: ${missing.join(", ")}`);
  if (onlyThere.length > 0) lines.push(`only ${against}'s benchmark has: ${onlyThere.join(", ")}`);
  return lines.join("\n");
}

function columns(work, ...cells) {
  const widths = [9, 9, 6, 12, 12, 0];
  return [work.padEnd(20), ...cells.map((cell, i) => cell.padStart(widths[i]))].join("  ").trimEnd();
}

function time(ms) {
  return ms < 1000 ? `${ms.toPrecision(3)} ms` : `${(ms / 1000).toPrecision(3)} s`;
}

function range({ least, most }) {
  return `${least.toFixed(3)}..${most.toFixed(3)}`;
}

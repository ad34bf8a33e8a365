import { installRivals } from "./rivals.mjs";
import { median } from "./statistics.mjs";

/**
 * Runs works in turns, once untimed and then `rounds` times, and prints medians of wall time and of the process's CPU time, and of
 * every other work's time over the first one's, round by round.
 *
 * @param {Record<string, (round: number) => Promise<void>>} works
 * @param {number} rounds
 */
export async function inTurns(works, rounds) {
  const names = Object.keys(works);
  const times = Object.fromEntries(names.map((name) => [name, []]));
  for (let round = -1; round < rounds; round++) {
    const first = (round + 1) % names.length; // whoever follows a heavy one is not always the same
    for (const name of [...names.slice(first), ...names.slice(0, first)]) {
      const time = await timed(() => works[name](round + 1));
      if (round >= 0) times[name].push(time);
    }
  }
  const base = times[names[0]];
  for (const [at, name] of names.entries()) {
    const of = (key) => median(times[name].map((time) => time[key]));
    const ratio = (key) => median(times[name].map((time, round) => time[key] / base[round][key])).toFixed(2);
    const against = at === 0 ? "" : `; ${ratio("wall")} times the first in wall time, ${ratio("cpu")} in CPU time`;
    console.log(`${name.padEnd(24)} ${of("wall").toFixed(0)} ms wall, ${of("cpu").toFixed(0)} ms CPU${against}`);
  }
}

/**
 * TensorFlow.js with its WebGPU backend, installed if need be.
 *
 * @param {string} adapter - that it has to run on
 * @returns {Promise<import("./contestants/tfjs_evaluation.mjs").Rival | undefined>} undefined, with the reason printed, where it cannot
 */
export async function openRival(adapter) {
  try {
    installRivals();
    const { open } = await import("./contestants/tfjs_evaluation.mjs");
    const rival = await open();
    if (rival.adapter === adapter) return rival;
    console.log(`tfjs is missing: it runs on ${rival.adapter}; set VK_DRIVER_FILES to one driver`);
  } catch (error) {
    console.log(`tfjs is missing: ${error.message}`);
  }
  return undefined;
}

async function timed(work) {
  const [start, cpu] = [performance.now(), process.cpuUsage()];
  await work();
  const { user, system } = process.cpuUsage(cpu);
  return { wall: performance.now() - start, cpu: (user + system) / 1000 };
}

// Runs one contestant in a process of its own, which computes only while a request is being answered.
// A contestant module exports `open(option)` -> { adapter, errors, prepare(row) }, prepare -> { run(), result(), release() }:
// `errors` collects what the device reports by itself, `run` resolves when the device has finished, `result` reads back what the row's check wants.
// One that computes in yet another process gives `time(count)` -> { ms, cpuMs } instead of `run`, both per run.
import { rows } from "../work/rows.mjs";

const [module, option] = process.argv.slice(2);
const contestant = await open();
let prepared;

async function open() {
  try {
    return await (await import(module)).open(option);
  } catch (error) {
    process.send({ failure: String(error?.message ?? error) }, () => process.exit(1));
    return new Promise(() => {});
  }
}

const answers = {
  async prepare({ work }) {
    prepared = await contestant.prepare(rows.find((row) => row.work === work));
    const result = await prepared.result();
    await answers.time({ count: 1 }); // warm-up: the first run compiles
    return { result };
  },
  async time({ count }) {
    if (prepared.time) return prepared.time(count);
    const before = process.cpuUsage();
    const start = performance.now();
    for (let i = 0; i < count; i++) await prepared.run();
    const ms = (performance.now() - start) / count;
    const { user, system } = process.cpuUsage(before); // of all threads, those of a software adapter included
    return { ms, cpuMs: (user + system) / 1000 / count };
  },
  async release() {
    await prepared?.release();
    prepared = undefined;
    return {};
  },
};

process.on("message", async (request) => {
  try {
    const answer = await answers[request.type](request);
    const [error] = contestant.errors?.splice(0) ?? [];
    if (error) throw new Error(`the device reported: ${error}`);
    process.send(answer);
  } catch (error) {
    process.send({ failure: String(error?.message ?? error) });
  }
});
process.send({ adapter: contestant.adapter });

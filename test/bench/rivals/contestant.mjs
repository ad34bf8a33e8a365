import { fork } from "node:child_process";
import { fileURLToPath } from "node:url";

const answerLimitMs = 300_000; // the slowest row of the slowest rival takes a tenth of this on two cores
const repetitionMs = 100; // shorter work is repeated within a repetition until it takes about this long
const mostPerRepetition = 20;

/** The orchestrator's side of a contestant: a process of its own, which is asked one thing at a time. */
export class Contestant {
  #process;
  #settle;
  #log = [];

  /**
   * @param {{ name: string, module: string, option?: string, cpu?: boolean }} entry
   */
  constructor(entry) {
    this.name = entry.name;
    this.cpu = entry.cpu ?? false;
    const script = fileURLToPath(new URL("contestants/process.mjs", import.meta.url));
    const module = new URL(`contestants/${entry.module}`, import.meta.url).href;
    this.#process = fork(script, [module, entry.option ?? ""], {
      serialization: "advanced", // typed arrays as they are
      stdio: ["ignore", "pipe", "pipe", "ipc"],
    });
    for (const stream of [this.#process.stdout, this.#process.stderr]) {
      stream.on("data", (text) => this.#log.push(String(text)));
    }
    this.#process.on("message", (message) => this.#settle?.(message));
    this.#process.on("exit", (code, signal) => {
      this.dead = true;
      this.#settle?.({ failure: `the process ended (${signal ?? code}): ${this.#lastWords()}` });
    });
  }

  /** Waits until the library has its device. @throws Error with the contestant's reason */
  async start() {
    this.adapter = (await this.#answer()).adapter;
    return this;
  }

  /** Sends a request and waits for the answer. @throws Error with the contestant's reason */
  ask(request) {
    if (this.dead) throw new Error(`the process has ended: ${this.#lastWords()}`);
    this.#process.send(request);
    return this.#answer();
  }

  /**
   * Makes a row ready: inputs on the device, kernels compiled, the result compared with the reference.
   *
   * @param {object} row - from work/rows.mjs
   * @param {Float64Array} expected
   * @returns {Promise<{ result: ArrayLike<number>, count: number }>} `count`: runs that fill a repetition
   * @throws Error if the result is wrong or the work cannot be done
   */
  async prepare(row, expected) {
    const { result } = await this.ask({ type: "prepare", work: row.work });
    const error = row.error(result, expected);
    if (!(error <= row.bound)) throw new Error(`wrong result: off by ${error}, allowed are ${row.bound}`);
    const { ms } = await this.ask({ type: "time", count: 1 });
    return { result, count: Math.max(1, Math.min(mostPerRepetition, Math.round(repetitionMs / ms))) };
  }

  stop() {
    this.dead = true;
    this.#settle = undefined;
    this.#process.kill("SIGKILL"); // a native device may hang in its own destructor
  }

  async #answer() {
    let timer;
    const message = await new Promise((resolve) => {
      this.#settle = resolve;
      timer = setTimeout(() => {
        this.stop();
        resolve({ failure: `no answer in ${answerLimitMs / 1000} s` });
      }, answerLimitMs);
    });
    clearTimeout(timer);
    this.#settle = undefined;
    if (message.failure) throw new Error(message.failure);
    return message;
  }

  #lastWords() {
    return this.#log.join("").trim().split("\n").slice(-3).join(" | ").slice(-400) || "without a word";
  }
}

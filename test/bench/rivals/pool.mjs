import { Contestant } from "./contestant.mjs";

/** The contestants of a run, each started when it is first needed; all compute on one adapter. */
export class Pool {
  #entries;
  #contestants = new Map();
  #starts = new Map();
  /** Name of the adapter, once a contestant has told it. */
  adapter;

  /**
   * @param {{ name: string, module: string, option?: string, cpu?: boolean }[]} entries
   */
  constructor(entries) {
    this.#entries = entries;
    process.once("exit", () => this.stop()); // whatever ends this process, no contestant stays behind
  }

  /**
   * A running contestant; one that died is started again, one that cannot start is not tried twice.
   *
   * @param {string} name
   * @returns {Promise<Contestant>}
   * @throws Error if it cannot start or computes on another adapter than the others
   */
  async get(name) {
    let contestant = this.#contestants.get(name);
    if (!contestant || (contestant.ready && contestant.dead)) {
      contestant = new Contestant(this.#entries.find((entry) => entry.name === name));
      this.#contestants.set(name, contestant);
      this.#starts.set(name, contestant.start());
    }
    await this.#starts.get(name);
    contestant.ready = true;
    this.adapter ??= contestant.adapter;
    if (contestant.adapter && contestant.adapter !== this.adapter) {
      throw new Error(
        `it runs on ${contestant.adapter}, the others on ${this.adapter}; set VK_DRIVER_FILES to one driver`,
      );
    }
    return contestant;
  }

  stop() {
    for (const contestant of this.#contestants.values()) contestant.stop();
  }
}

// Steps of an experiment: commands of this package whose JSON is kept. A step with a result is not run again; a training that was
// interrupted goes on where its last checkpoint stands.
import { spawn } from "node:child_process";
import { createWriteStream } from "node:fs";
import { access, mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const cli = fileURLToPath(new URL("../dist/cli/main.js", import.meta.url));

/** An experiment's folder: results of its steps as `NAME.json`, run folders, and `log.txt`. */
export class Steps {
  constructor(folder) {
    this.folder = folder;
  }

  path(name) {
    return join(this.folder, name);
  }

  /** The kept JSON of a step, or what `compute` gives, which is then kept. */
  async once(name, compute) {
    const file = this.path(`${name}.json`);
    if (await exists(file)) return JSON.parse(await readFile(file, "utf8"));
    const result = await compute();
    await mkdir(this.folder, { recursive: true });
    await writeFile(file, `${JSON.stringify(result)}\n`);
    return result;
  }

  /** A command that trains into a run folder of the step's name. */
  train(name, command, options) {
    const out = this.path(name);
    return this.once(name, async () => {
      const resumes = await exists(join(out, "checkpoints"));
      const start = resumes ? ["--resume"] : ["--force"];
      const { images, weights } = options;
      const given = resumes ? { images, ...(weights ? { weights } : {}) } : options;
      return this.#run([command, ...flags(given), ...start, "--out", out]);
    });
  }

  /** Goes on with a run folder that holds a checkpoint already. */
  continued(name, command, options) {
    const args = [command, ...flags(options), "--resume", "--out", this.path(name)];
    return this.once(name, () => this.#run(args));
  }

  /** k-NN accuracy of every block of a model, first to last. */
  async knn(name, options) {
    const { knn } = await this.once(name, () => this.#run(["knn", ...flags(options)]));
    return knn;
  }

  /** An evaluation of an encoder: the line of `evaluate PROTOCOL --json`. It goes on in its run folder where there is one. */
  evaluate(name, protocol, options) {
    return this.once(name, async () => {
      const { out } = options;
      const resumes = out !== undefined && (await exists(join(out, "checkpoints")));
      const start = resumes ? ["--resume"] : out === undefined ? [] : ["--force"];
      return this.#run(["evaluate", protocol, ...flags(options), ...start]);
    });
  }

  /** Runs a command and returns its JSON; what it says on the way goes to the log. */
  async #run(args) {
    await mkdir(this.folder, { recursive: true });
    const log = createWriteStream(this.path("log.txt"), { flags: "a" });
    log.write(`\nmimrefine ${args.join(" ")}\n`);
    const child = spawn(process.execPath, [cli, ...args, "--json"], { stdio: ["ignore", "pipe", "pipe"] });
    let text = "";
    child.stdout.on("data", (part) => {
      text += part;
    });
    child.stderr.pipe(log);
    const code = await new Promise((resolve, reject) => {
      child.on("error", reject);
      child.on("close", resolve);
    });
    if (code !== 0) throw new Error(`mimrefine ${args[0]} ended with ${code}; see ${this.path("log.txt")}`);
    return JSON.parse(text);
  }
}

function flags(options) {
  return Object.entries(options).flatMap(([name, value]) => {
    const flag = `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
    if (value === true) return [flag];
    if (value === false) return [`--no-${flag.slice(2)}`];
    return [flag, Array.isArray(value) ? value.join(",") : String(value)];
  });
}

export async function exists(path) {
  return access(path).then(
    () => true,
    () => false,
  );
}

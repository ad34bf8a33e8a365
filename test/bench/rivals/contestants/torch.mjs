import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { adamW, images, layerNormEpsilon, parameters, tinyShape, trainBatch, trainShape } from "../work/vit.mjs";

const interpreter = "/usr/bin/python3"; // the distribution's, whose package is compared with; others on the path lack it

/** PyTorch of the distribution (Debian: python3-torch) on the processor, with as many threads as it takes by itself. */
export async function open() {
  const folder = mkdtempSync(join(tmpdir(), "torch-"));
  process.once("exit", () => rmSync(folder, { recursive: true, force: true }));
  const python = new Python(folder);
  await python.ask({ type: "open" });
  return { prepare: (row) => prepare(python, row) };
}

async function prepare(python, row) {
  const { arrays, settings } = given(row);
  await python.ask({ type: "prepare", kind: row.kind, settings, arrays: python.written(arrays) });
  return {
    time: (count) => python.ask({ type: "time", count }),
    async result() {
      const { file, integer } = await python.ask({ type: "result" });
      const bytes = readFileSync(file);
      const values = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength);
      return integer ? new Int32Array(values) : new Float32Array(values);
    },
    release: () => python.ask({ type: "release" }),
  };
}

/** Arrays and numbers of a row. */
function given(row) {
  const named = (list) => Object.fromEntries(list.map(({ name, shape, data }) => [name, { shape, data }]));
  if (row.kind === "vit-ti forward") {
    const { batch, pixels } = tinyShape;
    const arrays = { pixels: { shape: [batch, 3, pixels, pixels], data: images(tinyShape) } };
    return { arrays: { ...arrays, ...named(parameters(tinyShape)) }, settings: { ...tinyShape, layerNormEpsilon } };
  }
  if (row.kind === "train step") {
    const { batch, tokens, width } = trainShape;
    const { tokens: x, labels } = trainBatch(trainShape);
    const arrays = { x: { shape: [batch, tokens, width], data: x }, labels: { shape: [batch], data: labels } };
    return {
      arrays: { ...arrays, ...named(parameters(trainShape)) },
      settings: { ...trainShape, ...adamW, layerNormEpsilon, steps: row.steps },
    };
  }
  return { arrays: row.inputs(), settings: { k: row.k, layerNormEpsilon } };
}

/** A Python process that answers one JSON line with another. */
class Python {
  #folder;
  #process;
  #lines;
  #log = "";

  constructor(folder) {
    this.#folder = folder;
    const script = fileURLToPath(new URL("torch_process.py", import.meta.url));
    this.#process = spawn(interpreter, [script, folder], { stdio: ["pipe", "pipe", "pipe"] });
    this.#process.stderr.on("data", (text) => {
      this.#log += text;
    });
    this.#process.on("error", (error) => {
      this.#log += error.message;
    });
    this.#process.stdin.on("error", () => {}); // the answer that does not come tells why
    this.#lines = createInterface(this.#process.stdout)[Symbol.asyncIterator]();
  }

  /** Files of the arrays, which Python reads. */
  written(arrays) {
    return Object.entries(arrays).map(([name, { shape, data }], i) => {
      const file = join(this.#folder, `${i}.bin`);
      writeFileSync(file, new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
      return { name, shape, file, integer: data instanceof Int32Array };
    });
  }

  async ask(request) {
    this.#process.stdin.write(`${JSON.stringify(request)}\n`);
    const { value, done } = await this.#lines.next();
    if (done) throw new Error(`${interpreter} with torch (Debian: python3-torch): ${lastLine(this.#log)}`);
    const answer = JSON.parse(value);
    if (answer.failure) throw new Error(answer.failure);
    return answer;
  }
}

function lastLine(text) {
  return text.trim().split("\n").at(-1) || "it ended without a word";
}

import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { stringify } from "yaml";
import { openFeatureIndex } from "../../../cli/embedding/feature_index.ts";
import { checkedSettings, readSettings } from "../../../cli/program/settings.ts";
import { hostTensor, memorySink, TensorItem, writeNpy, writeSafetensors } from "../../../engine/files/index.ts";
import { loadTuning, matmul, openDevice, recordProgram, tuneProgram } from "../../../engine/index.ts";
import { Device } from "../../../engine/run/device.ts";
import { pretrainConfig, pretrainSchema, refineConfig, refineSchema } from "../../../refiner/index.ts";
import { type Reader, type ReaderRecipe, WrongResult } from "./reader.ts";

const encoded = (text: string): Uint8Array => new TextEncoder().encode(text);

const yamlWords = [
  "\n",
  ": ",
  "- ",
  "&a ",
  "*a",
  "<<: *a",
  "!!binary ",
  "{",
  "}",
  "[",
  "]",
  "|\n  ",
  "null",
  ".inf",
  "-1",
  "1e400",
  '"',
  "batch: ",
  "preset: small\n",
  "toString: 1\n",
  "# ",
];

/** Settings files of both trainings: YAML, and JSON, which is YAML, too. */
const settings: ReaderRecipe = {
  name: "settings",
  share: 6,
  open: async (folder): Promise<Reader> => ({
    originals: [
      encoded(stringify(refineConfig({}, "small"))),
      encoded(`preset: small\n# few images\n${stringify({ heads: [1, "last"], batch: 64, flip: 0 })}`),
      encoded(JSON.stringify(pretrainConfig({}), null, 1)),
    ],
    isJson: true,
    words: yamlWords,
    read: async (bytes) => {
      const file = join(folder, "settings.yaml");
      await writeFile(file, bytes);
      const given = await readSettings(file, refineSchema);
      const { preset, ...own } = given.values;
      try {
        checkedSettings(() => refineConfig(own, typeof preset === "string" ? preset : undefined), given);
      } catch {
        const { values, ...place } = await readSettings(file, pretrainSchema);
        checkedSettings(() => pretrainConfig(values), place);
      }
      return "read";
    },
  }),
};

const rows = 6;
const list = `path\tlabel\tclass\n${Array.from({ length: rows }, (_, i) => `img/${i}.png\t${i % 2}\tcat${i % 2}\n`).join("")}`;

/** Files that `search` reads, one kind mutated: features, or the list beside them. */
function index(name: string, mutatesList: boolean): ReaderRecipe {
  const open = async (folder: string): Promise<Reader> => {
    const features = hostTensor(
      "f32",
      [rows, 4],
      Float32Array.from({ length: 4 * rows }, (_, i) => Math.sin(i)),
    );
    const [npy, safetensors] = [memorySink(), memorySink()];
    await writeNpy(npy, features);
    const metadata = { "mimrefine.block": "last", "mimrefine.pool": "cls", "mimrefine.weights": "a.safetensors" };
    await writeSafetensors(safetensors, new Map([["features", TensorItem.of(features)]]), metadata);
    const path = join(folder, "features.safetensors");
    await writeFile(path, safetensors.bytes());
    await writeFile(`${path}.files.tsv`, list);
    return {
      originals: mutatesList ? [encoded(list)] : [npy.bytes(), safetensors.bytes()],
      words: mutatesList
        ? ["\t", "\n", "\r\n", "path", "\0", "é"]
        : ['"', "{", "}", "F32", "F64", "I64", "[", "]", "6", "4", "0", "9".repeat(12), "features", "(", ")", ","],
      read: async (bytes) => {
        await writeFile(mutatesList ? `${path}.files.tsv` : path, bytes);
        const found = await openFeatureIndex(path);
        const { rows: count, columns, data } = found.features;
        if (data.length !== count * columns || found.rows.length !== count)
          throw new WrongResult(`${count} rows of ${columns}, ${data.length} values, ${found.rows.length} names`);
        return "read";
      },
    };
  };
  return { name, share: 4, open };
}

/** The tuner's cache: what it names must exist, and whatever else it says costs nothing but a measurement. */
const tuning: ReaderRecipe = {
  name: "tuning cache",
  share: 3,
  open: async (folder): Promise<Reader> => {
    process.env.MIMREFINE_CACHE = folder;
    const device = await openDevice({ notice: () => undefined });
    const build = (on: Device) =>
      recordProgram(on, () => ({ y: matmul(on.zeros([8, 8]), on.zeros([8, 8])) }), { inference: true });
    await tuneProgram(device, () => build(device), { budgetMs: 2000 });
    const [file = ""] = await readdir(folder);
    const requests = [...device.tuning.requests.values()];
    return {
      originals: [new Uint8Array(await readFile(join(folder, file)))],
      isJson: true,
      words: ['"', "[", "]", ",", "choices", "matmul", "naive", "register", "null", "toString", "\\u0000"],
      read: async (bytes) => {
        await writeFile(join(folder, file), bytes);
        const fresh = new Device(device.gpu, { device: device.gpu, notice: () => undefined });
        await loadTuning(fresh);
        for (const request of requests) {
          const choice = fresh.tuning.choose(request);
          if (![...request.candidates, ...request.others].includes(choice))
            throw new WrongResult(`${request.operation} takes ${JSON.stringify(choice)}, which there is not`);
        }
        return fresh.tuning.entries().length > 0 ? "read" : "nothing remembered";
      },
    };
  },
};

export const otherReaders: readonly ReaderRecipe[] = [
  settings,
  index("search index", false),
  index("search list", true),
  tuning,
];

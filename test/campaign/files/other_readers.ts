import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { stringify } from "yaml";
import { EmbeddedRows } from "../../../cli/embedding/embedded_rows.ts";
import { writeFeatures } from "../../../cli/embedding/feature_files.ts";
import { openFeatureIndex } from "../../../cli/embedding/feature_index.ts";
import { FeatureSpool } from "../../../cli/embedding/feature_spool.ts";
import { readingOf } from "../../../cli/embedding/index_note.ts";
import { checkedSettings, readSettings } from "../../../cli/program/settings.ts";
import { memorySink } from "../../../engine/files/index.ts";
import { loadTuning, matmul, openDevice, recordProgram, tuneProgram } from "../../../engine/index.ts";
import { Device } from "../../../engine/run/device.ts";
import { imagesInMemory, pretrainConfig, pretrainSchema, refineConfig, refineSchema } from "../../../refiner/index.ts";
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

const width = 4;
const features = Float32Array.from({ length: rows * width }, (_, i) => Math.sin(i));

/** The features as `embed` writes them in every format, and their note. */
async function indexFiles(folder: string): Promise<readonly Uint8Array[]> {
  const image = { width: 1, height: 1, channels: 1, data: new Uint8Array(1) } as const;
  const sources = new EmbeddedRows(imagesInMemory(Array.from({ length: rows }, () => image)));
  for (let i = 0; i < rows; i++) sources.push(i, i % 2);
  const spool = await FeatureSpool.open(join(folder, "spool"), width);
  await spool.append(features);
  const files: Uint8Array[] = [];
  for (const format of ["npy", "safetensors", "parquet"] as const) {
    const sink = memorySink();
    await writeFeatures(sink, format, spool, sources, note);
    files.push(sink.bytes());
  }
  await spool.close();
  return files;
}

const note = { "mimrefine.block": "last", "mimrefine.pool": "cls", "mimrefine.weights": "a.safetensors" };
const listed = ["\t", "\n", "\r\n", "path", "\0", "é", '"', "\\t"];
const headers = [
  '"',
  "{",
  "}",
  "F32",
  "F64",
  "I64",
  "[",
  "]",
  "6",
  "4",
  "0",
  "9".repeat(12),
  "features",
  "(",
  ")",
  ",",
  "PAR1",
];

/** Files that `search` reads, one kind mutated: features, or the list or the note beside them. */
function index(name: string, mutated: "features" | "list" | "note"): ReaderRecipe {
  const open = async (folder: string): Promise<Reader> => {
    const files = await indexFiles(folder);
    const path = join(folder, "features.npy");
    const beside = { features: path, list: `${path}.files.tsv`, note: `${path}.json` };
    await writeFile(path, files[0] ?? "");
    await writeFile(beside.list, list);
    await writeFile(beside.note, JSON.stringify(note));
    return {
      originals: { features: files, list: [encoded(list)], note: [encoded(JSON.stringify(note))] }[mutated],
      words: mutated === "features" ? headers : listed,
      isJson: mutated === "note",
      read: async (bytes) => {
        await writeFile(beside[mutated], bytes);
        const found = await openFeatureIndex(path);
        const { rows: count, columns, data } = found.features;
        if (data.length !== count * columns || found.rows.length !== count)
          throw new WrongResult(`${count} rows of ${columns}, ${data.length} values, ${found.rows.length} names`);
        readingOf(found.note);
        return "read";
      },
    };
  };
  return { name, share: mutated === "features" ? 6 : 2, open };
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
  index("search index", "features"),
  index("search list", "list"),
  index("search note", "note"),
  tuning,
];

import { existsSync } from "node:fs";
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { command, lastWords } from "./command.ts";

/** A training as a command, small enough to be killed often. */
export interface Training {
  readonly name: "refine" | "pretrain";
  readonly begin: (out: string) => readonly string[];
  readonly resume: (out: string) => readonly string[];
  readonly result: string;
  /** A run that nothing disturbed. */
  readonly base: string;
  readonly seconds: number;
}

/** What all command parts work with. */
export interface Trainings {
  readonly folder: string;
  readonly images: string;
  readonly weights: string;
  readonly refine: Training;
  readonly pretrain: Training;
  /** A cache of its own for the commands. */
  readonly environment: Readonly<Record<string, string>>;
  /** Whether results are damaged before they are compared. */
  readonly plant: boolean;
}

/** Stands in a base folder once its run has come to its end. */
export const finishedFile = "finished";

const side = 12;
const images = 64;
const words = (text: string): string[] => text.split(" ");

const pretrainSettings = words(
  `--pixels ${side} --patch 4 --width 16 --blocks 2 --attention-heads 2 --decoder-width 16 --decoder-blocks 1 --decoder-heads 2 --batch 16 --epochs 5 --warmup 1 --checkpoint-minutes 0.00001 --workers 0`,
);
const refineSettings = words(
  "--batch 16 --heads 0,last --projector-width 16 --predictor-width 16 --output-width 8 --queue-length 32 --top-k 4 --local-views 0 --stage2-epochs 2 --stage3-epochs 3 --stage2-warmup 1 --stage3-warmup 1 --eval-every 2 --checkpoint-minutes 0.00001 --workers 0",
);

/** Makes images, weights and the undisturbed runs, unless an earlier campaign has left them there. */
export async function trainingsOf(work: string, { plant }: { readonly plant: boolean }): Promise<Trainings> {
  const folder = join(work, "commands");
  const at = (name: string): string => join(folder, name);
  await mkdir(folder, { recursive: true });
  await writeFile(
    at("images-idx3-ubyte"),
    idx([images, side, side], (i) => (i * 2654435761) >>> 24),
  );
  await writeFile(
    at("labels-idx1-ubyte"),
    idx([images], (i) => (i * 7) % 2),
  );
  const environment = { MIMREFINE_CACHE: at("cache") };
  const source = at("images-idx3-ubyte");
  const training = async (
    name: Training["name"],
    result: string,
    begin: (out: string) => readonly string[],
  ): Promise<Training> => {
    const base = at(`base-${name}`);
    const finished = join(base, finishedFile); // says how long it took
    if (!existsSync(finished)) {
      await rm(base, { recursive: true, force: true });
      const ended = await command(begin(base), { environment });
      if (ended.code !== 0) throw new Error(`campaign: the undisturbed ${name} failed: ${lastWords(ended)}`);
      await writeFile(finished, String(ended.seconds));
    }
    const seconds = Number(await readFile(finished, "utf8"));
    return { name, begin, resume: (out) => [name, "--resume", out], result, base, seconds };
  };
  const pretrain = await training("pretrain", "mae.safetensors", (out) => [
    ...["pretrain", "--images", source, "--out", out],
    ...pretrainSettings,
  ]);
  const weights = join(pretrain.base, pretrain.result);
  const refine = await training("refine", "encoder.safetensors", (out) => [
    ...["refine", "--weights", weights, "--images", source, "--out", out],
    ...refineSettings,
  ]);
  return { folder, images: source, weights, refine, pretrain, environment, plant };
}

function idx(shape: readonly number[], value: (index: number) => number): Uint8Array {
  const header = Buffer.alloc(4 + 4 * shape.length);
  header.writeUInt32BE(0x800 + shape.length);
  for (const [axis, size] of shape.entries()) header.writeUInt32BE(size, 4 + 4 * axis);
  const length = shape.reduce((product, size) => product * size, 1);
  return Buffer.concat([header, Uint8Array.from({ length }, (_, i) => value(i))]);
}

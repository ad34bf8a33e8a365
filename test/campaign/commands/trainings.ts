import { existsSync } from "node:fs";
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { command, lastWords } from "./command.ts";

/** The commands that train, in the turn in which they are disturbed. */
export const trainingNames = ["pretrain", "refine", "finetune"] as const;
export type TrainingName = (typeof trainingNames)[number];

/** A training as a command, small enough to be killed often. */
export interface Training {
  readonly name: TrainingName;
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
  /** Makes the undisturbed run, unless an earlier case, or an earlier campaign, has left it there. */
  readonly training: (name: TrainingName) => Promise<Training>;
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
  `--pixels ${side} --patch 4 --width 16 --blocks 2 --attention-heads 2 --decoder-width 16 --decoder-blocks 1 --decoder-heads 2 --batch 16 --epochs 5 --warmup 1 --checkpoint-minutes 0.0000000001 --workers 0`,
);
const refineSettings = words(
  "--batch 16 --heads 0,last --projector-width 16 --predictor-width 16 --output-width 8 --queue-length 32 --top-k 4 --local-views 0 --stage2-epochs 2 --stage3-epochs 3 --stage2-warmup 1 --stage3-warmup 1 --eval-every 2 --checkpoint-minutes 0.0000000001 --workers 0",
);

const finetuneSettings = words(
  "--batch 16 --micro-batch 6 --epochs 5 --warmup 1 --drop-path 0.4 --rand-augment 0 --checkpoint-minutes 0.0000000001 --workers 0",
);

/** Makes images and weights. */
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
  const base = (name: TrainingName): string => at(`base-${name}`);
  const weights = join(base("pretrain"), results.pretrain);
  const inputs = ["--weights", weights, "--images", source];
  const given: Readonly<Record<TrainingName, readonly string[]>> = {
    refine: [...inputs, ...refineSettings],
    pretrain: ["--images", source, ...pretrainSettings],
    finetune: [...inputs, ...finetuneSettings],
  };
  const training = async (name: TrainingName): Promise<Training> => {
    const begin = (out: string): readonly string[] => [name, ...given[name], "--out", out];
    const seconds = await undisturbed(name, base(name), begin(base(name)), environment);
    return { name, begin, resume: (out) => [name, "--resume", out], result: results[name], base: base(name), seconds };
  };
  await training("pretrain"); // the weights of the others
  return { folder, images: source, weights, training, environment, plant };
}

const results: Readonly<Record<TrainingName, string>> = {
  refine: "encoder.safetensors",
  pretrain: "mae.safetensors",
  finetune: "classifier.safetensors",
};

/** @returns the seconds that the run took when it was made */
async function undisturbed(
  name: TrainingName,
  base: string,
  begin: readonly string[],
  environment: Readonly<Record<string, string>>,
): Promise<number> {
  const finished = join(base, finishedFile); // says how long it took
  if (!existsSync(finished)) {
    await rm(base, { recursive: true, force: true });
    const ended = await command(begin, { environment });
    if (ended.code !== 0) throw new Error(`campaign: the undisturbed ${name} failed: ${lastWords(ended)}`);
    await writeFile(finished, String(ended.seconds));
  }
  return Number(await readFile(finished, "utf8"));
}

function idx(shape: readonly number[], value: (index: number) => number): Uint8Array {
  const header = Buffer.alloc(4 + 4 * shape.length);
  header.writeUInt32BE(0x800 + shape.length);
  for (const [axis, size] of shape.entries()) header.writeUInt32BE(size, 4 + 4 * axis);
  const length = shape.reduce((product, size) => product * size, 1);
  return Buffer.concat([header, Uint8Array.from({ length }, (_, i) => value(i))]);
}

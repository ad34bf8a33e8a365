import { z } from "zod";
import { EvaluationError } from "../evaluation/index.ts";
import type { FinetuneConfig } from "../methods/finetune/finetune_config.ts";
import { valueChecksum } from "../training/lane_checksum.ts";
import type { RunStore } from "../training/run_store.ts";

/** Which run: the search trains on 800 images and is tested on 200, a final one trains on all and is tested on the test images. */
export interface VtabRunName {
  readonly task: string;
  readonly stage: "search" | "final";
  readonly rate: number;
  readonly seed: number;
}

/** What a run found. */
export interface VtabRun extends VtabRunName {
  /** Classes of the head. */
  readonly classes: number;
  /** Share of the tested images whose largest logit is that of their class. */
  readonly accuracy: number;
  /** Those that were tested; broken ones were not. */
  readonly images: number;
  /** Predicted class of every image of the test list, -1 for broken ones; of final runs. */
  readonly predicted?: Int32Array;
}

const folder = "runs";
/** Whether a file is one of these: a folder of that name may hold what is not ours. */
const isResult = (file: string): boolean => /\.(search|final)\.[^/]+\.seed\d+\.json$/.test(file);
const isUnfinished = (file: string): boolean => /^\..*\.seed\d+\.json\..*part$/.test(file);

/** Settings that change what a run finds; the others are about time and memory. */
function decisive({ workers, prefetch, maxBad, checkpointEvery, checkpointMinutes, ...others }: FinetuneConfig) {
  return others;
}

const runSchema = z.strictObject({
  task: z.string(),
  stage: z.enum(["search", "final"]),
  rate: z.number(),
  seed: z.int(),
  classes: z.int(),
  accuracy: z.number(),
  images: z.int(),
  predicted: z.array(z.int()).optional(),
  settings: z.record(z.string(), z.unknown()),
});

/** A file: what a run found, and the checksum of its text. */
const fileSchema = z.strictObject({ run: runSchema, checksum: z.string() });

/** Results of finished runs, a file each, such as `runs/cifar.search.0.001.seed0.json`. */
export class VtabResults {
  constructor(readonly store: RunStore) {}

  #file({ task, stage, rate, seed }: VtabRunName): string {
    return `${folder}/${task}.${stage}.${rate}.seed${seed}.json`;
  }

  /**
   * @param onDamage - told where the file of a run is not what was written, so that the run is made again
   * @returns undefined where the run is not finished, or its file is damaged
   * @throws EvaluationError for a run of other settings
   */
  async read(
    name: VtabRunName,
    settings: FinetuneConfig,
    onDamage: (text: string) => void = () => {},
  ): Promise<VtabRun | undefined> {
    const file = this.#file(name);
    const text = await this.store.readText(file);
    if (text === undefined) return undefined;
    const data = wholeRun(text);
    if (!data || this.#file(data) !== file) {
      onDamage(`${file} is damaged, or the file of another run; the run is made again`);
      return undefined;
    }
    const { settings: stored, predicted, ...run } = data;
    const wanted: Readonly<Record<string, unknown>> = decisive(settings);
    const differing = Object.keys(wanted).filter((key) => JSON.stringify(wanted[key]) !== JSON.stringify(stored[key]));
    if (differing.length > 0)
      throw new EvaluationError(
        `vtab: ${file} was made with other settings (${differing.join(", ")}); go on with those that it began with, or start over`,
      );
    return { ...run, ...(predicted ? { predicted: Int32Array.from(predicted) } : {}) };
  }

  async write({ predicted, ...run }: VtabRun, settings: FinetuneConfig): Promise<void> {
    const value = { ...run, ...(predicted ? { predicted: [...predicted] } : {}), settings: decisive(settings) };
    const whole = { run: value, checksum: valueChecksum(value) };
    await this.store.writeText(this.#file(run), `${JSON.stringify(whole)}\n`);
  }

  /** Finished runs, of whatever settings. */
  async count(): Promise<number> {
    return (await this.store.list(folder)).filter(isResult).length;
  }

  /** Removes the results of earlier runs. */
  async clear(): Promise<void> {
    for (const file of await this.store.list(folder))
      if (isResult(file) || isUnfinished(file)) await this.store.remove(`${folder}/${file}`);
  }

  /** Removes what a killed process left half-written. */
  async removeUnfinished(): Promise<void> {
    for (const file of await this.store.list(folder))
      if (isUnfinished(file)) await this.store.remove(`${folder}/${file}`);
  }
}

/** @returns undefined for what was not written so */
function wholeRun(text: string): z.output<typeof runSchema> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    const { data } = fileSchema.safeParse(value);
    // Of the value as it was read: a schema puts its keys into an order of its own.
    const isSame = data && typeof value === "object" && value !== null && "run" in value;
    return isSame && data.checksum === valueChecksum(value.run) ? data.run : undefined;
  } catch {
    return undefined;
  }
}

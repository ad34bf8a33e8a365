import { z } from "zod";
import type { Device } from "../../engine/index.ts";
import packageJson from "../../package.json" with { type: "json" };
import { valueChecksum } from "../../refiner/training/lane_checksum.ts";
import type { RunFolder } from "../../refiner/training/run_folder_node.ts";
import type { Output } from "../output/streams.ts";
import type { CommonOptions, EncoderCommandOptions } from "../program/options.ts";
import { dataSetOptions } from "../program/shared_options.ts";
import { UsageError } from "../program/usage_error.ts";
import { differingData, type Fingerprint, fingerprintSchema } from "./fingerprint.ts";

/** What a run says about itself: files, device, settings. */
export const configFile = "config.json";

/** Whether what differs from the run that goes on is taken as it is, and where that is told. */
export interface Overriding {
  readonly isOverride: boolean;
  readonly output: Output;
}

/** Commands that leave runs. */
export type RunCommand = "refine" | "pretrain" | "finetune" | "demo" | "evaluate";

const storedSchema = z.looseObject({
  command: z.enum(["refine", "pretrain", "finetune", "demo", "evaluate"]).optional(),
  weights: z.string().optional(),
  images: z.string(),
  imageCount: z.number().optional(),
  firstImages: z.number().optional(),
  firstTestImages: z.number().optional(),
  fingerprint: fingerprintSchema.optional(),
  evaluate: z.boolean().optional(),
  test: z.string().optional(),
  imageKey: z.string().optional(),
  dataSet: z.enum(dataSetOptions).optional(),
  channels: z.union([z.literal(1), z.literal(3)]).optional(),
  attentionHeads: z.number().optional(),
  epsilon: z.number().optional(),
  classPosition: z.enum(["exact", "as-published"]).optional(),
  layerScale: z.enum(["fold", "keep"]).optional(),
  resolution: z.tuple([z.number(), z.number()]).optional(),
  place: z.string().optional(),
  allowMissing: z.boolean().optional(),
  allowLeftOver: z.boolean().optional(),
  adapter: z.looseObject({ name: z.string() }).optional(),
  /** Absent: not so. */
  reproducible: z.boolean().optional(),
  tuning: z.array(z.tuple([z.string(), z.string()])).default([]),
  settings: z.record(z.string(), z.unknown()),
  /** Of all the rest; absent where an older version wrote it. */
  checksum: z.string().optional(),
});

/** What a run's config.json says about it. */
export type StoredRun = z.output<typeof storedSchema>;

/** Files that a run works with, and how they are read; the part of config.json beside settings and device. */
export type RunInputs = EncoderCommandOptions &
  Pick<
    StoredRun,
    | "weights"
    | "images"
    | "imageCount"
    | "firstImages"
    | "firstTestImages"
    | "fingerprint"
    | "evaluate"
    | "test"
    | "imageKey"
    | "dataSet"
    | "channels"
  > & {
    /** Which schedule of the demo. */
    readonly schedule?: string;
  };

/**
 * Reads what a run says about itself.
 *
 * @param command - which goes on with the run; `refine` also takes a demo, which is a refinement
 * @param overriding - whether one that was changed since it was written is taken as it is, with a warning
 * @throws UsageError for a config.json that this program did not write, or not so, or the run of another command
 */
export async function readStoredRun(
  store: RunFolder,
  command: RunCommand,
  overriding?: Overriding,
): Promise<StoredRun> {
  const stored = await parsedRun(store, overriding);
  const began = stored.command === "demo" ? "refine" : (stored.command ?? command);
  if (began === command) return stored;
  throw new UsageError(
    `${store.name}: the run was begun by ${stored.command}; go on with it by mimrefine ${began} --resume ${store.name}`,
  );
}

/** The same of a run of any command. */
export function readAnyRun(store: RunFolder): Promise<StoredRun> {
  return parsedRun(store, undefined);
}

async function parsedRun(store: RunFolder, overriding: Overriding | undefined): Promise<StoredRun> {
  const parsed = parsedObject(await store.readText(configFile));
  const { data } = storedSchema.safeParse(parsed);
  if (!data)
    throw new UsageError(
      `${store.name}/${configFile} is no configuration of a run; it was damaged or written by another program: start over with --force`,
    );
  const { checksum, ...rest } = parsed ?? {};
  if (checksum === undefined || checksum === checksumOf(rest)) return data;
  const text = `${store.name}/${configFile} is not as the run wrote it`;
  if (overriding?.isOverride) {
    overriding.output.warning(`${text}; going on, since --override was given`);
    return data;
  }
  throw new UsageError(
    `${text} (its checksum is another): it is damaged, or was edited; put the old one back, take it as it is with --override, or start over with --force`,
  );
}

function parsedObject(text: string | undefined): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(text ?? "");
    return typeof value === "object" && value !== null ? { ...value } : undefined;
  } catch {
    return undefined; // damaged
  }
}

/** Independent of white space between the parts of the text; the order of keys counts. */
function checksumOf(value: object): string {
  return valueChecksum(value);
}

/** Writes what a run says about itself: package version, command, inputs, adapter, kernel variants and settings. */
export async function writeStoredRun(
  store: RunFolder,
  command: RunCommand,
  device: Device,
  run: RunInputs & { readonly settings: object },
): Promise<void> {
  const { name, type, backend, driver } = device.info;
  const { settings, ...inputs } = run;
  const value = {
    version: packageJson.version,
    command,
    ...inputs,
    adapter: { name, type, backend, driver },
    ...(device.reproducible ? { reproducible: true } : {}),
    tuning: device.tuning.entries(),
    settings,
  };
  await store.writeText(configFile, `${JSON.stringify({ ...value, checksum: checksumOf(value) }, null, 2)}\n`);
}

/**
 * Options with the mode that a run began in, which it goes on in.
 *
 * @throws UsageError where `--reproducible` is given for a run that began without it
 */
export function inModeOf<Options extends CommonOptions>(
  { reproducible = false }: StoredRun,
  options: Options,
): Options {
  if (options.reproducible && !reproducible)
    throw new UsageError(
      "resume: the run was begun without --reproducible, so its bytes depend on the adapter; leave it out, or start over with --force",
    );
  return { ...options, reproducible };
}

/**
 * Prepares a device for going on with a run: the kernel variants are those that it began with.
 *
 * @returns what to tell where the bytes may differ from those of an uninterrupted run
 */
export function resumeOn(device: Device, stored: StoredRun): string | undefined {
  device.tuning.load(stored.tuning);
  if (!stored.adapter || stored.adapter.name === device.info.name) return undefined;
  return `the run began on ${stored.adapter.name} and goes on on ${device.info.name}: its numbers will differ slightly from those of an uninterrupted run`;
}

/** @throws UsageError if images or weights are not those that the run began with, and overriding was not asked for */
export function checkSameData(
  stored: StoredRun,
  images: number,
  found: Fingerprint,
  { isOverride, output }: Overriding,
): void {
  if (stored.imageCount !== undefined && stored.imageCount !== images && !isOverride)
    throw new UsageError(
      `resume: the images differ from those of the run: imageCount (was ${stored.imageCount}, now ${images}); give the same --images (and --test, --no-evaluate, which choose among them), or force it with --override`,
    );
  if (stored.fingerprint && stored.checksum === undefined)
    output.notice(`${configFile} holds no checksum, as older versions wrote it: it was not verified`);
  if (!stored.fingerprint) {
    output.notice(`${configFile} holds no fingerprint of the data, as older versions wrote it: it was not compared`);
    return;
  }
  const isNewTest = stored.test === undefined && !stored.fingerprint.test && found.test !== undefined;
  const changed = [
    ...differingData(stored.fingerprint, found),
    ...(isNewTest ? ["the test images (given now, not when the run began)"] : []),
  ];
  if (changed.length === 0) return;
  const text = `resume: ${changed.join(" and ")} differ from those of the run`;
  if (!isOverride) throw new UsageError(`${text}; give the same as when it began, or force it with --override`);
  output.warning(`${text}; going on, since --override was given`);
}

/** How an encoder is read from its file. Other paths may lead to the same data: these are compared by their fingerprint. */
const readingOptions = ["attentionHeads", "epsilon", "classPosition", "layerScale", "resolution", "place"] as const;

/**
 * Inputs of a run: those that it began with, where it goes on, and what was given now.
 *
 * @throws UsageError that names each option by which the encoder would be read in another way, unless overriding
 */
export function resumedInputs(
  stored: StoredRun | undefined,
  given: Partial<RunInputs>,
  isOverride: boolean,
): Partial<RunInputs> {
  if (!stored) return given;
  const reading = readingOptions.flatMap((key) => (given[key] === undefined ? [] : [[key, given[key]] as const]));
  resumedSettings(stored, Object.fromEntries(reading), isOverride);
  return { ...stored, ...given };
}

/**
 * Settings of a run that is resumed: those of its config.json; given ones must not differ unless overriding.
 *
 * @throws UsageError that names each differing key
 */
export function resumedSettings(
  stored: Readonly<Record<string, unknown>>,
  given: Readonly<Record<string, unknown>>,
  isOverride: boolean,
): Record<string, unknown> {
  const changed = Object.keys(given).filter((key) => JSON.stringify(given[key]) !== JSON.stringify(stored[key]));
  if (changed.length > 0 && !isOverride) {
    const list = changed
      .map((key) => `${key} (was ${JSON.stringify(stored[key])}, now ${JSON.stringify(given[key])})`)
      .join(", ");
    throw new UsageError(
      `resume: the settings differ from those of the run: ${list}; drop them, or force them with --override`,
    );
  }
  return { ...stored, ...given };
}

import { z } from "zod";
import type { Device } from "../../engine/index.ts";
import packageJson from "../../package.json" with { type: "json" };
import type { RunFolder } from "../../refiner/training/run_folder_node.ts";
import type { EncoderCommandOptions } from "../program/options.ts";
import { UsageError } from "../program/usage_error.ts";

const storedSchema = z.looseObject({
  weights: z.string().optional(),
  images: z.string(),
  imageCount: z.number().optional(),
  test: z.string().optional(),
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
  tuning: z.array(z.tuple([z.string(), z.string()])).default([]),
  settings: z.record(z.string(), z.unknown()),
});

/** What a run's config.json says about it. */
export type StoredRun = z.output<typeof storedSchema>;

/** Files that a run works with, and how they are read; the part of config.json beside settings and device. */
export type RunInputs = EncoderCommandOptions &
  Pick<StoredRun, "weights" | "images" | "imageCount" | "test" | "channels">;

/** @throws UsageError for a config.json that this program did not write */
export async function readStoredRun(store: RunFolder): Promise<StoredRun> {
  try {
    return storedSchema.parse(JSON.parse((await store.readText("config.json")) ?? ""));
  } catch {
    throw new UsageError(
      `${store.name}/config.json is no configuration of a run; it was damaged or written by another program: start over with --force`,
    );
  }
}

export async function writeStoredRun(
  store: RunFolder,
  command: string,
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
    tuning: device.tuning.entries(),
    settings,
  };
  await store.writeText("config.json", `${JSON.stringify(value, null, 2)}\n`);
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

/** @throws UsageError if the images are not as many as those that the run began with */
export function checkSameImages(stored: StoredRun, images: number, isOverride: boolean): void {
  if (stored.imageCount === undefined || stored.imageCount === images || isOverride) return;
  throw new UsageError(
    `resume: the images differ from those of the run: imageCount (was ${stored.imageCount}, now ${images}); give the same --images, or force it with --override`,
  );
}

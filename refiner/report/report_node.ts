import { readFile, stat } from "node:fs/promises";
import { basename, join, resolve } from "node:path";
import sharp from "sharp";
import { refuseSpecialFile, writeBytesAtomic } from "../../engine/platform/files_node.ts";
import type { RgbImage } from "../data/image_source.ts";
import { ReportError } from "./errors.ts";
import type { EvaluationReport } from "./evaluation_report.ts";
import type { Gallery, GalleryPicture } from "./gallery.ts";
import type { PatchMap } from "./patch_maps.ts";
import { type ReportData, type ReportPicture, type RunRecord, reportDataSchema } from "./report_data.ts";
import { parseMetrics } from "./run_metrics.ts";
import { writeReport } from "./write_report.ts";

/** Name of the report's picture file in a run folder. */
export const reportDataFile = "report_data.json";

/** Longer side of a thumbnail, in pixels. */
const thumbnailPixels = 96;

/** An image as a PNG data URL, reduced to a thumbnail where it is larger. */
export async function pngDataUrl(image: RgbImage, longestPixels = thumbnailPixels): Promise<string> {
  const { width, height, channels, data } = image;
  const png = await sharp(data, { raw: { width, height, channels } })
    .resize({ width: longestPixels, height: longestPixels, fit: "inside", withoutEnlargement: true })
    .png({ compressionLevel: 9 })
    .toBuffer();
  return `data:image/png;base64,${png.toString("base64")}`;
}

/** Galleries and patch maps as the report stores them; it enlarges maps, of a pixel per patch, without smoothing. */
export async function reportPictures(
  galleries: readonly Gallery[],
  maps: readonly PatchMap[],
): Promise<Pick<ReportData, "galleries" | "patchMaps">> {
  const stored = async ({ image, ...rest }: GalleryPicture): Promise<ReportPicture> => ({
    src: await pngDataUrl(image),
    ...rest,
  });
  const strip = (pictures: readonly GalleryPicture[]): Promise<ReportPicture[]> => Promise.all(pictures.map(stored));
  const states = async ({ before, after }: Pick<PatchMap, "before" | "after">) => ({
    before: await stored({ image: before, label: "before" }),
    after: await stored({ image: after, label: "after" }),
  });
  return {
    galleries: await Promise.all(
      galleries.map(async ({ query, before, after }) => ({
        query: await stored(query),
        before: await strip(before),
        after: await strip(after),
      })),
    ),
    patchMaps: await Promise.all(
      maps.map(async ({ image, before, after, attention }, i) => ({
        image: await stored({ image, label: `image ${i + 1}` }),
        ...(await states({ before, after })),
        ...(attention ? { attention: await states(attention) } : {}),
      })),
    ),
  };
}

/** Stores pictures, device, timings and memory plan for the report, atomically. */
export async function saveReportData(folder: string, data: Partial<ReportData>): Promise<void> {
  const text = JSON.stringify(reportDataSchema.parse(data));
  await writeBytesAtomic(join(folder, reportDataFile), new TextEncoder().encode(text), { overwrite: true });
}

/**
 * Reads what the report of a run is made of; a run that is still going on, or was interrupted, gives the part that is there.
 *
 * @throws ReportError if the folder is no run folder, or a file in it is damaged
 */
export async function readRun(folder: string): Promise<RunRecord> {
  const found = await stat(folder).catch(() => undefined);
  if (!found?.isDirectory()) throw new ReportError(`report: ${folder} is no folder; give the folder of a run`);
  const [config, metrics, data] = await Promise.all(
    ["config.json", "metrics.jsonl", reportDataFile].map((file) => textOf(folder, file)),
  );
  if (config === undefined && metrics === undefined) {
    throw new ReportError(
      `report: ${folder} holds neither config.json nor metrics.jsonl; give the folder that refine wrote (--out)`,
    );
  }
  const pictures = reportDataSchema.safeParse(jsonOf(data ?? "{}", join(folder, reportDataFile)));
  if (!pictures.success) {
    const [issue] = pictures.error.issues;
    throw new ReportError(
      `report: ${join(folder, reportDataFile)}, ${issue?.path.join(".")}: ${issue?.message}; delete the file to make a report without pictures`,
    );
  }
  return {
    name: basename(resolve(folder)),
    config: recordOf(jsonOf(config ?? "{}", join(folder, "config.json")), join(folder, "config.json")),
    metrics: parseMetrics(metrics ?? ""),
    data: pictures.data,
  };
}

/**
 * Writes `report.html` into a run folder, atomically, and returns its path.
 *
 * @param evaluations - of the encoders that the run began with and gave
 * @throws ReportError
 */
export async function reportRun(
  folder: string,
  path = join(folder, "report.html"),
  evaluations: readonly EvaluationReport[] = [],
): Promise<string> {
  const html = writeReport({ ...(await readRun(folder)), evaluations });
  await writeBytesAtomic(path, new TextEncoder().encode(html), { overwrite: true });
  return path;
}

async function textOf(folder: string, file: string): Promise<string | undefined> {
  await refuseSpecialFile(join(folder, file));
  return readFile(join(folder, file), "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return undefined;
    throw new ReportError(`report: ${join(folder, file)} cannot be read (${error.code}); check its permissions`);
  });
}

function jsonOf(text: string, path: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new ReportError(`report: ${path} is no JSON; it was damaged or written by another program`);
  }
}

function recordOf(value: unknown, path: string): Record<string, unknown> {
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw new ReportError(`report: ${path} is no JSON object; it was written by another program`);
  return Object.fromEntries(Object.entries(value));
}

import { resolve } from "node:path";
import packageJson from "../../package.json" with { type: "json" };
import { EvaluationError, type SensitivityVariant } from "../../refiner/evaluation/index.ts";
import { encoderInputs } from "../program/options.ts";
import { UsageError } from "../program/usage_error.ts";
import { fingerprintOf, type PlacedImages } from "../runs/fingerprint.ts";
import type { EvaluationJob, JobOptions } from "./evaluation_job.ts";
import type { Receipt } from "./evaluation_line.ts";
import { pixelDigest } from "./pixel_digest.ts";
import type { ProtocolOptions, ProtocolResult } from "./protocol.ts";
import { publishedPart } from "./published_part.ts";

/** The file in the folder of an evaluation. */
export const receiptFile = "receipt.json";

/** What a receipt says of the images and weights; the same for every protocol. */
export type ReceiptInputs = Pick<Receipt, "encoder" | "train" | "test">;

/** Looks at everything that an evaluation reads. @param fits - whether training images have a part in it */
export async function receiptInputs(
  { train, test }: EvaluationJob,
  options: JobOptions,
  { fits }: { readonly fits: boolean },
): Promise<ReceiptInputs> {
  const sides = {
    images: { path: options.images, source: train },
    test: { path: options.test ?? options.images, source: test },
  };
  const digests = await fingerprintOf({ ...sides, weights: options.weights });
  const side = async ({ path, source }: PlacedImages, digest: Record<string, string> = {}) => ({
    path: resolve(path),
    images: source.length,
    digest,
    pixels: await pixelDigest(source),
  });
  const { weights = {} } = digests;
  return {
    encoder: { weights: resolve(options.weights), digest: weights, options: { ...encoderInputs(options) } },
    train: fits ? await side(sides.images, digests.images) : null,
    test: await side(sides.test, digests.test),
  };
}

/** Options of an evaluation that its receipt tells something of. */
type ReceiptOptions = Pick<ProtocolOptions, "seed" | "test" | "dataSet">;

export function receiptOf(
  protocol: string,
  { settings, selection, scores, sensitivity, preset, published: hints }: ProtocolResult,
  inputs: ReceiptInputs,
  job: EvaluationJob,
  { seed, test, dataSet }: ReceiptOptions,
): Receipt {
  for (const { name, value } of [...scores, ...(sensitivity?.variants.map(scored) ?? [])])
    if (!Number.isFinite(value))
      throw new EvaluationError(
        `evaluate ${protocol}: ${name} is ${value}, which is no result; look at the images and the weights`,
      );
  const { name, type, backend, driver } = job.device.info;
  const { config } = job.model;
  const measured = { protocol, settings, scores, config, ...job, isHeldOut: test === undefined, hints };
  const published = publishedPart(measured, dataSet);
  return {
    format: 1,
    version: packageJson.version,
    protocol,
    settings: { ...settings },
    ...(preset ? { preset } : {}),
    seed,
    ...inputs,
    adapter: { name, type, backend, driver },
    selection,
    scores: [...scores],
    ...(sensitivity ? { sensitivity: { ...sensitivity, variants: [...sensitivity.variants] } } : {}),
    ...(published ? { published } : {}),
  };
}

function scored({ setting, value, score }: SensitivityVariant): { readonly name: string; readonly value: number } {
  return { name: `the score with ${setting} ${value}`, value: score };
}

/** Parts that two receipts must share for their numbers to be about the same question. */
const decisive = (receipt: Receipt): Readonly<Record<string, unknown>> => ({
  protocol: receipt.protocol,
  ...Object.fromEntries(Object.entries(receipt.settings).map(([key, value]) => [`settings.${key}`, value])),
  seed: receipt.seed,
  "train.images": receipt.train?.images,
  "train.digest": receipt.train?.digest,
  "train.pixels": receipt.train?.pixels,
  "test.images": receipt.test.images,
  "test.digest": receipt.test.digest,
  "test.pixels": receipt.test.pixels,
  selection: receipt.selection.on,
});

/** What differs between two protocols, such as `settings.epochs (50 and 10)`. */
export function protocolDifferences(first: Receipt, second: Receipt): string[] {
  const [a, b] = [decisive(first), decisive(second)];
  return [...new Set([...Object.keys(a), ...Object.keys(b)])].flatMap((key) => {
    const [one, other] = [JSON.stringify(a[key]), JSON.stringify(b[key])];
    if (one === other) return [];
    return [`${key} (${shortened(one)} and ${shortened(other)})`];
  });
}

function shortened(text: string | undefined): string {
  if (text === undefined) return "absent";
  return text.length > 60 ? `${text.slice(0, 57)}…` : text;
}

/** @throws UsageError for receipts of unequal protocols, which names what differs */
export function requireSameProtocol(first: Receipt, second: Receipt): void {
  const differing = protocolDifferences(first, second);
  if (differing.length === 0) return;
  throw new UsageError(
    `evaluate: the numbers of ${first.encoder.weights} and ${second.encoder.weights} cannot be compared: ${differing.join("; ")} differ; evaluate both in the same way`,
  );
}

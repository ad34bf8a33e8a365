import type { Command } from "commander";
import type { Device } from "../../engine/index.ts";
import { MemoryRunStore } from "../../refiner/index.ts";
import type { Output } from "../output/streams.ts";
import { UsageError } from "../program/usage_error.ts";
import { fileDigest } from "../runs/fingerprint.ts";
import { beginEvaluation, type EvaluationFolder, openEvaluationDevice } from "./evaluation_folder.ts";
import { type EvaluationJob, type JobDoors, withEvaluationJob } from "./evaluation_job.ts";
import type { Evaluation, UsedPreset } from "./evaluation_line.ts";
import { writeConfusion, writePredictions } from "./prediction_files.ts";
import type { Protocol, ProtocolOptions, ProtocolResult } from "./protocol.ts";
import { type ReceiptInputs, receiptFile, receiptInputs, receiptOf } from "./receipt.ts";

/** One command line at work. */
export interface EvaluationSession<Options extends ProtocolOptions> {
  readonly protocol: Protocol<Options>;
  readonly command: Command;
  readonly output: Output;
  readonly signal: AbortSignal;
  readonly preset: UsedPreset | undefined;
}

/** One encoder's numbers. */
export interface Evaluated {
  readonly result: ProtocolResult;
  readonly evaluation: Evaluation;
}

/** What stays of an attempt for the next one. */
interface Begun {
  readonly inputs: ReceiptInputs;
  /** Kernel variants of its device. */
  readonly tuning: ReturnType<Device["tuning"]["entries"]>;
}

type OpenImages = Parameters<NonNullable<JobDoors["openImages"]>>;

/**
 * Measures one encoder by a protocol, again on a new device where the first is lost, and leaves its receipt and files.
 *
 * @param given - takes the receipt; its configuration is written once the images are known
 * @returns undefined if it was interrupted, or only planned
 */
export async function evaluateEncoder<Options extends ProtocolOptions>(
  { protocol, command, output, signal, preset }: EvaluationSession<Options>,
  options: Options,
  given: EvaluationFolder,
  isSecond = false,
): Promise<Evaluated | undefined> {
  const startMs = performance.now();
  const { openImages } = protocol;
  const store = given.folder ?? new MemoryRunStore();
  let where = given;
  let begun: Begun | undefined; // by an attempt whose device was lost
  const openDevice = async (): Promise<Device> => {
    const device = await openEvaluationDevice(where, options, output);
    if (begun) device.tuning.load(begun.tuning);
    return device;
  };
  const begin = async (job: EvaluationJob): Promise<Begun | undefined> => {
    const planned = { ...job, output, resume: where.stored !== undefined };
    if ((await protocol.plan?.(planned, options, command)) === false) return undefined;
    const inputs = await receiptInputs(job, options, { fits: protocol.fits?.(options) ?? true });
    if (inputs.train && !isSecond && isSame(inputs.train, inputs.test))
      output.warning("the test images are the training images: the number says nothing of new ones (--test)");
    const { device } = job;
    const others = where.folder ? await otherDigests(protocol, job, options) : {};
    where = await beginEvaluation(where, { protocol: protocol.name, device, command, inputs, others, output });
    return { inputs, tuning: device.tuning.entries() };
  };
  return withEvaluationJob(
    options,
    output,
    async (job) => {
      const resume = begun ? protocol.isResumable : where.stored !== undefined;
      begun ??= await begin(job);
      if (!begun) return undefined;
      const run = { ...job, store, hasPage: where.hasPage, isSecond, resume, signal, output };
      const found = await protocol.evaluate(run, options, command);
      if (!found) return undefined;
      const result = { preset, ...found };
      const receipt = receiptOf(protocol.name, result, begun.inputs, job, options);
      await writeFiles(result, options, job.test);
      await where.folder?.writeText(receiptFile, `${JSON.stringify(receipt, null, 2)}\n`);
      const seconds = (performance.now() - startMs) / 1000;
      return { result, evaluation: { receipt, details: { ...result.details }, seconds } };
    },
    {
      openDevice,
      recovery: { store, signal },
      ...(openImages ? { openImages: (...given: OpenImages) => openImages(options, ...given, output) } : {}),
    },
  );
}

/** Whether two sets have the same images, by their digests. */
function isSame(a: ReceiptInputs["test"], b: ReceiptInputs["test"]): boolean {
  const [one, other] = [a, b].map(({ digest, pixels }) => JSON.stringify([digest, pixels]));
  return one === other;
}

async function otherDigests<Options extends ProtocolOptions>(
  protocol: Protocol<Options>,
  job: EvaluationJob,
  options: Options,
): Promise<Readonly<Record<string, string>>> {
  const { config } = options;
  return {
    ...(config === undefined ? {} : { "the settings file (--config)": await fileDigest(config) }),
    ...(await protocol.digests?.(job, options)),
  };
}

/** Predictions and confusion, where they are asked for. @throws UsageError for a protocol that predicts no classes */
async function writeFiles(
  { predictions, writePredictions: writeOwn }: ProtocolResult,
  options: ProtocolOptions,
  test: Parameters<typeof writePredictions>[2],
): Promise<void> {
  if (writeOwn) {
    if (options.predictions !== undefined) await writeOwn(options.predictions);
    return;
  }
  if (!predictions) {
    if (options.predictions === undefined && options.confusion === undefined) return;
    throw new UsageError("evaluate: this protocol predicts no classes; drop --predictions and --confusion");
  }
  if (options.predictions !== undefined) await writePredictions(options.predictions, predictions, test);
  if (options.confusion !== undefined) await writeConfusion(options.confusion, predictions);
}

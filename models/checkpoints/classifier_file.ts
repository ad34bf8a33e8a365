import type { ByteSink, Checkpoint } from "../../engine/files/index.ts";
import { type Device, OptionError } from "../../engine/index.ts";
import { Classifier, type ClassifierDescription } from "../classifier.ts";
import { IncompleteWeightsError, UnknownModelError } from "./errors.ts";
import { Uploader } from "./load_encoder.ts";
import type { LoadReport } from "./load_report.ts";
import { completeConfig, openEncoder } from "./open_encoder.ts";
import { classifierKey } from "./own_config.ts";
import { type WriteOptions, writeEncoder } from "./write_encoder.ts";

/**
 * Writes a classifier as safetensors: the encoder under the authors' names, `head` (and `head_norm`) beside it, and what it tells
 * apart in the metadata. Whatever reads encoders finds the encoder in it.
 */
export function saveClassifier(
  sink: ByteSink,
  model: Classifier,
  options: Pick<WriteOptions, "source" | "method"> = {},
): Promise<void> {
  const parameters = [...model.parameters.tensors].map(
    ([name, tensor]) =>
      [name, { shape: tensor.shape, read: async () => Float32Array.from(await tensor.read()) }] as const,
  );
  const content = { config: model.config, parameters: new Map(parameters) };
  return writeEncoder(sink, content, {
    ...options,
    metadata: { [classifierKey]: JSON.stringify(model.description) },
  });
}

/**
 * Loads a classifier that `mimrefine finetune` wrote.
 *
 * @param file - what messages and the report call the file
 * @throws UnknownModelError for a file without a classifier; IncompleteWeightsError for a head that is not all there, or of another
 *   width or number of classes than encoder and class names; and what `loadEncoder` throws
 */
export async function loadClassifier(
  device: Device,
  checkpoint: Checkpoint,
  file = "checkpoint",
): Promise<{ model: Classifier; report: LoadReport }> {
  const description = readDescription(checkpoint, file);
  const stored = await openEncoder(checkpoint, {}, file);
  const model = new Classifier(device, completeConfig(stored.config, file), description);
  try {
    const uploader = new Uploader(device);
    for (const [name, parameter] of stored.parameters)
      await uploader.write(model.parameters.get(name), await parameter.read());
    for (const [name, target] of model.parameters.tensors) {
      if (stored.parameters.has(name)) continue;
      checkHead(checkpoint, name, target.shape, file);
      await uploader.write(target, await checkpoint.readAsF32(name));
    }
  } catch (error) {
    model.destroy();
    throw error;
  }
  return { model, report: stored.report };
}

/** Whether a file says that it holds a classifier. */
export function holdsClassifier(checkpoint: Checkpoint): boolean {
  return checkpoint.metadata.has(classifierKey);
}

function checkHead(checkpoint: Checkpoint, name: string, expected: readonly number[], file: string): void {
  const shape = checkpoint.tensors.get(name)?.shape;
  if (shape && String(shape) === String(expected)) return;
  throw new IncompleteWeightsError(
    shape
      ? `${file}: ${name} is [${shape}], expected [${expected}] for its classes and its encoder; head and encoder do not belong together`
      : `${file}: ${name} is not in the file; give the whole classifier.safetensors of mimrefine finetune`,
    shape ? [] : [name],
    [],
  );
}

/** @throws UnknownModelError, OptionError */
function readDescription(checkpoint: Checkpoint, file: string): ClassifierDescription {
  const json = checkpoint.metadata.get(classifierKey);
  if (json === undefined)
    throw new UnknownModelError(
      `${file}: the file says nothing of classes (${classifierKey}); give the classifier.safetensors of mimrefine finetune`,
    );
  const value = parsed(json);
  const { classNames, pooling, pixels, mean, deviation, headNorm } = value ?? {};
  const isWhole =
    isListOf(classNames, (name) => typeof name === "string") &&
    (pooling === "cls" || pooling === "avg") &&
    typeof pixels === "number" &&
    Number.isInteger(pixels) &&
    pixels > 0 &&
    isListOf(mean, isFiniteNumber) &&
    isListOf(deviation, isFiniteNumber) &&
    deviation.every((one) => one > 0);
  if (!isWhole)
    throw new OptionError(
      `${file}: the metadata ${classifierKey} does not name classNames, pooling, pixels, mean and deviation; it was damaged: fine-tune again`,
    );
  const seen = new Set<string>();
  const twice = classNames.find((name) => seen.size === seen.add(name).size);
  if (twice !== undefined)
    throw new OptionError(
      `${file}: two classes have the name ${JSON.stringify(twice)}, and nothing could tell which one is meant; fine-tune again`,
    );
  return { classNames, pooling, pixels, mean, deviation, ...(headNorm === false ? { headNorm } : {}) };
}

function parsed(json: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(json);
    return typeof value === "object" && value !== null ? Object.fromEntries(Object.entries(value)) : undefined;
  } catch {
    return undefined;
  }
}

function isListOf<T>(value: unknown, isElement: (element: unknown) => element is T): value is readonly T[] {
  return Array.isArray(value) && value.length > 0 && value.every(isElement);
}

function isFiniteNumber(value: unknown): value is number {
  return typeof value === "number" && Number.isFinite(value);
}

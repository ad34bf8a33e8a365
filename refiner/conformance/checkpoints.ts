import {
  bf16ToF32,
  Checkpoint,
  CheckpointError,
  f16ToF32,
  type HostTensor,
  openCheckpoint,
} from "../../engine/files/index.ts";
import { openEncoder } from "../../models/checkpoints/index.ts";
import { type FixtureFolder, type GoldenRow, goldenBounds, Json, relativeError } from "./fixture.ts";

/** Sums are taken in float64 in another order than the reference's: far below this for files of any size. */
const sumBound = 1e-9;

type AddRow = (tensor: string, maxError: number, bound: number) => void;

/** Checkpoint files of `expected.json`: every tensor, every conversion to an encoder, every refusal and error. */
export async function checkCheckpoints(
  folder: FixtureFolder,
  name: string,
  report: (row: GoldenRow) => void,
): Promise<void> {
  const add: AddRow = (tensor, maxError, bound) =>
    report({ case: name, tensor, maxError, bound, pass: maxError <= bound });
  const files = new Json(JSON.parse(await folder.text("expected.json"))).get("files");
  for (const file of files.keys()) {
    const expected = files.get(file);
    const expect = expected.get("expect").text();
    const opened = await openFile(folder, file, expect !== "load");
    if (expect !== "load") add(file, isExpectedError(opened, expect) ? 0 : 1, goldenBounds.exact);
    else if (opened instanceof Checkpoint) await checkFile(opened, file, expected, add);
    else add(file, 1, goldenBounds.exact);
    if (opened instanceof Checkpoint) await opened.close();
  }
}

/** An open file, or why it cannot be used; damage inside a tensor shows only when that is read. */
async function openFile(folder: FixtureFolder, file: string, readsAll: boolean): Promise<unknown> {
  try {
    const checkpoint = await openCheckpoint(await folder.open(file));
    for (const path of readsAll ? checkpoint.tensors.keys() : []) await checkpoint.read(path);
    return checkpoint;
  } catch (error) {
    return error;
  }
}

function isExpectedError(error: unknown, expect: string): boolean {
  if (!(error instanceof CheckpointError)) return false;
  return expect === "refuse" ? error.kind === "forbidden" : error.kind !== "forbidden";
}

async function checkFile(checkpoint: Checkpoint, file: string, expected: Json, add: AddRow): Promise<void> {
  const tensors = expected.get("tensors");
  for (const path of tensors.keys()) {
    const stored = await checkpoint.read(path).catch(() => undefined);
    add(`${file}:${path}`, stored ? tensorError(stored, tensors.get(path)) : Number.POSITIVE_INFINITY, sumBound);
  }
  for (const path of checkpoint.tensors.keys()) {
    if (!tensors.has(path)) add(`${file}:${path}`, Number.POSITIVE_INFINITY, sumBound);
  }
  for (const path of expected.get("plain_values").keys()) {
    const wanted = plainText(expected.get("plain_values", path).value);
    add(`${file}:${path}`, plainText(checkpoint.plainValues.get(path)) === wanted ? 0 : 1, goldenBounds.exact);
  }
  if (expected.has("encoder")) await checkEncoder(checkpoint, file, expected.get("encoder"), add);
}

/** JSON text of a leaf; the fixtures write infinity as "inf". */
function plainText(value: unknown): string | undefined {
  if (typeof value === "number" && !Number.isFinite(value))
    return JSON.stringify(String(value).replace("Infinity", "inf").toLowerCase());
  return JSON.stringify(typeof value === "bigint" ? Number(value) : value);
}

const dtypeNames: Readonly<Record<string, string>> = {
  float64: "f64",
  float32: "f32",
  float16: "f16",
  bfloat16: "bf16",
  int64: "i64",
  int32: "i32",
  int16: "i16",
  int8: "i8",
  uint8: "u8",
  bool: "bool",
};

/** Largest relative error of the first values and the sum; infinite if type or shape differ. */
function tensorError(stored: HostTensor, expected: Json): number {
  if (dtypeNames[expected.get("dtype").text()] !== stored.dtype) return Number.POSITIVE_INFINITY;
  if (String(expected.get("shape").numbers()) !== String(stored.shape)) return Number.POSITIVE_INFINITY;
  const { data, dtype } = stored;
  if (data instanceof BigInt64Array || data instanceof BigUint64Array) {
    const sum = Array.from(data).reduce((total, value) => total + value, 0n);
    return textError([...Array.from(data).slice(0, 8), sum].map(String), expected);
  }
  if (!["f64", "f32", "f16", "bf16"].includes(dtype)) {
    const values = Array.from(data, Number);
    const sum = values.reduce((total, value) => total + value, 0);
    return textError([...values.slice(0, 8), sum].map(String), expected);
  }
  return floatError(floatsOf(stored), expected);
}

/** 0 if integers, written as decimals, are equal to the expected ones, else 1. */
function textError(actual: readonly string[], expected: Json): number {
  const first = expected.get("first8").value;
  const wanted = [...(Array.isArray(first) ? first : []), expected.get("sum").value].map((value) =>
    String(typeof value === "boolean" ? Number(value) : value),
  );
  return String(actual) === String(wanted) ? 0 : 1;
}

function floatError(values: ArrayLike<number>, expected: Json): number {
  let sum = 0;
  let magnitude = 0;
  for (let i = 0; i < values.length; i++) {
    sum += values[i] ?? 0;
    magnitude += Math.abs(values[i] ?? 0);
  }
  const first = expected.get("first8").numbers();
  const head = Array.from({ length: Math.min(8, values.length) }, (_, i) => values[i] ?? 0);
  const stated = expected.get("sum").number();
  const difference = Object.is(sum, stated) ? 0 : Math.abs(sum - stated) / Math.max(magnitude, 1e-6);
  return Math.max(relativeError(head, first), Number.isNaN(difference) ? Number.POSITIVE_INFINITY : difference);
}

function floatsOf(stored: HostTensor): ArrayLike<number> {
  const { data, dtype } = stored;
  if (data instanceof Uint16Array) return dtype === "bf16" ? bf16ToF32(data) : f16ToF32(data);
  return Float64Array.from(data, Number);
}

async function checkEncoder(checkpoint: Checkpoint, file: string, expected: Json, add: AddRow): Promise<void> {
  const encoder = await openEncoder(checkpoint, {}, file).catch(() => undefined);
  const mapping = expected.get("target_to_source");
  const container = expected.get("state_dict_at").text();
  const root = container === "" ? "" : `${container}/`;
  const converted = expected.get("converted");
  for (const target of mapping.keys()) {
    const parameter = encoder?.parameters.get(target);
    const source = `${root}${mapping.get(target).text()}`;
    const isMapped = parameter?.sources.includes(source) ?? false;
    const values = isMapped && parameter ? await parameter.read() : new Float32Array();
    const wanted = converted.get(target);
    const error = !converted.has(target)
      ? relativeError(values, await checkpoint.readAsF32(source))
      : String(parameter?.shape) === String(wanted.get("shape").numbers())
        ? floatError(values, wanted)
        : Number.POSITIVE_INFINITY;
    add(`${file}:encoder/${target}`, isMapped ? error : Number.POSITIVE_INFINITY, sumBound);
  }
  const dropped = encoder?.report.dropped.flatMap(({ names }) => names) ?? [];
  for (const name of expected.get("ignored").texts()) {
    const path = `${root}${name}`;
    const isDropped = dropped.some((other) => other === path || other.startsWith(`${path}/`));
    add(`${file}:encoder/${name}`, isDropped ? 0 : 1, goldenBounds.exact);
  }
}

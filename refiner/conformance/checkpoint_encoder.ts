import type { Checkpoint } from "../../engine/files/index.ts";
import type { StoredParameter } from "../../models/checkpoints/assemble_parameters.ts";
import { openEncoder, type StoredEncoder } from "../../models/checkpoints/index.ts";
import { goldenBounds } from "./bounds.ts";
import { floatError } from "./checkpoint_values.ts";
import { relativeError } from "./fixture.ts";
import type { Json } from "./json.ts";

/** Sums are taken in float64 in another order than the reference's: far below this for files of any size. */
export const sumBound = 1e-9;

export type AddRow = (tensor: string, maxError: number, bound: number) => void;

/** The encoder of a file, opened as commands do: its parameters, what is left aside, its kind, and its positions. */
export async function checkEncoder(checkpoint: Checkpoint, file: string, expected: Json, add: AddRow): Promise<void> {
  const encoder = await openEncoder(checkpoint, {}, file).catch(() => undefined);
  const container = expected.get("state_dict_at").text();
  const root = container === "" ? "" : `${container}/`;
  const mapping = expected.get("target_to_source");
  for (const target of mapping.keys()) {
    const source = `${root}${mapping.get(target).text()}`;
    const parameter = encoder?.parameters.get(target);
    const isMapped = parameter?.sources.includes(source) ?? false;
    const wanted = expected.get("converted", target);
    const error = isMapped && parameter ? await parameterError(checkpoint, parameter, source, wanted) : undefined;
    add(`${file}:encoder/${target}`, error ?? Number.POSITIVE_INFINITY, sumBound);
  }
  add(`${file}:encoder.kind`, encoder?.config.kind === expected.get("kind").text() ? 0 : 1, goldenBounds.exact);
  if (expected.has("pos_embed")) checkPositions(encoder, checkpoint, expected.get("pos_embed"), file, add);
  const dropped = encoder?.report.dropped.flatMap(({ names }) => names) ?? [];
  for (const name of expected.get("ignored").texts()) {
    const path = `${root}${name}`;
    const isDropped = dropped.some((other) => other === path || other.startsWith(`${path}/`));
    add(`${file}:encoder/${name}`, isDropped ? 0 : 1, goldenBounds.exact);
  }
}

/** Against the converted values where the file describes them, else against the stored tensor as it is. */
async function parameterError(
  checkpoint: Checkpoint,
  parameter: StoredParameter,
  source: string,
  converted: Json,
): Promise<number> {
  const values = await parameter.read();
  if (!converted.exists) return relativeError(values, await checkpoint.readAsF32(source));
  return isConverted(parameter, converted) ? floatError(values, converted) : Number.POSITIVE_INFINITY;
}

/** Whatever the file holds, an encoder's parameters are read as f32. */
function isConverted({ shape }: StoredParameter, wanted: Json): boolean {
  return wanted.get("dtype").text() === "float32" && String(shape) === String(wanted.get("shape").numbers());
}

/** How the shape of the stored positions changes. */
function checkPositions(
  encoder: StoredEncoder | undefined,
  checkpoint: Checkpoint,
  expected: Json,
  file: string,
  add: AddRow,
): void {
  const positions = encoder?.parameters.get("pos_embed.embed");
  const source = checkpoint.tensors.get(positions?.sources[0] ?? "")?.shape ?? [];
  const target = positions?.shape ?? [];
  const [, stored = 0] = source;
  const [, rows = 0, columns = 0] = target;
  const actual = [source, target, stored - rows * columns];
  const wanted = [
    expected.get("source_shape").numbers(),
    expected.get("target_shape").numbers(),
    expected.get("drop_leading_rows").number(),
  ];
  add(`${file}:encoder.pos_embed`, JSON.stringify(actual) === JSON.stringify(wanted) ? 0 : 1, goldenBounds.exact);
}

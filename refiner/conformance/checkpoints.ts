import { Checkpoint, CheckpointError, openCheckpoint } from "../../engine/files/index.ts";
import { goldenBounds } from "./bounds.ts";
import { type AddRow, checkEncoder, sumBound } from "./checkpoint_encoder.ts";
import { plainText, tensorError } from "./checkpoint_values.ts";
import { type NotCompared, unreadKeys } from "./coverage.ts";
import type { FixtureFolder, GoldenRow } from "./fixture.ts";
import { Json } from "./json.ts";

/** Remarks on a file, and how it was written. */
const remarks = /^files\..+\.(note|format)$/;

/**
 * Checkpoint files of `expected.json`: every tensor, every conversion to an encoder, every refusal and error.
 *
 * @returns files of the folder that `expected.json` does not describe, and what of it was not looked at
 */
export async function checkCheckpoints(
  folder: FixtureFolder,
  name: string,
  report: (row: GoldenRow) => void,
): Promise<NotCompared[]> {
  const add: AddRow = (tensor, maxError, bound) =>
    report({ case: name, tensor, maxError, bound, pass: maxError <= bound });
  const json = new Json(JSON.parse(await folder.text("expected.json")));
  const files = json.get("files");
  for (const file of files.keys()) {
    const expected = files.get(file);
    const expect = expected.get("expect").text();
    const opened = await openFile(folder, file, expect !== "load");
    if (expect !== "load") add(file, isExpectedError(opened, expect) ? 0 : 1, goldenBounds.exact);
    else if (opened instanceof Checkpoint) await checkFile(opened, file, expected, add);
    else add(file, 1, goldenBounds.exact);
    if (opened instanceof Checkpoint) await opened.close();
  }
  const described = new Set(["expected.json", ...files.keys()]);
  const others = (await folder.files()).filter((file) => !described.has(file));
  return [
    ...others.map((file) => ({ file: `${name}/${file}`, name: "" })),
    ...unreadKeys(json, { remarks, keys: /./ }).map((path) => ({ file: `${name}/expected.json`, name: path })),
  ];
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

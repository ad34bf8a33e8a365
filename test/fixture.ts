import { readFile } from "node:fs/promises";
import { memorySource } from "../engine/files/byte_source.ts";
import { openSafetensors } from "../engine/files/safetensors/safetensors_reader.ts";

/** Values of a golden file as floats, with their shape. */
export interface Golden {
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

/** Tensors of `test/fixtures/<name>.safetensors` by name. @throws Error from the result if a name does not exist */
export async function openFixture(name: string): Promise<(tensor: string) => Promise<Golden>> {
  const bytes = await readFile(new URL(`fixtures/${name}.safetensors`, import.meta.url));
  const { tensors } = await openSafetensors(memorySource(bytes, name));
  return async (tensor) => {
    const stored = tensors.get(tensor);
    if (!stored) throw new Error(`the fixture ${name} has no tensor ${tensor}`);
    return { shape: stored.shape, data: await stored.readAsF32() };
  };
}

/** Sizes and scalars of `test/fixtures/<name>.json`. */
export async function fixtureValues(name: string): Promise<Record<string, unknown>> {
  return JSON.parse(await readFile(new URL(`fixtures/${name}.json`, import.meta.url), "utf8"));
}

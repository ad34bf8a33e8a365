import type { Json } from "./json.ts";

/** What a check computes its results from. An input that the check did not read counts as not compared. */
export interface CaseInputs {
  /** Tensors of the case. */
  readonly tensors?: RegExp;
  /** Key paths of its JSON file. */
  readonly keys?: RegExp;
  /** Key paths of remarks and guides that no result follows from. */
  readonly remarks?: RegExp;
}

/** A tensor or number of a fixture file that was not compared with anything, and is no known input either. */
export interface NotCompared {
  readonly file: string;
  /** Name of the tensor or key path of the number; empty for the file as a whole. */
  readonly name: string;
}

/** Where a case's numbers come from, and how far float32 was from float64: the same keys in every file. */
const provenance =
  /^(source|framework|library|libraries)(\.|$)|^(case|seed)$|(^|\.)max_abs_difference_to_float64(\.|$)/;

/** What the files of a case hold that none of its comparisons is about. */
export function notCompared(
  files: {
    readonly name: string;
    readonly tensors: readonly string[];
    readonly readTensors: ReadonlySet<string>;
    readonly json: Json;
  },
  compared: ReadonlySet<string>,
  inputs: CaseInputs,
): NotCompared[] {
  const { name, tensors, readTensors, json } = files;
  const isInput = (tensor: string): boolean => (inputs.tensors?.test(tensor) ?? false) && readTensors.has(tensor);
  return [
    ...tensors
      .filter((tensor) => !compared.has(tensor) && !isInput(tensor))
      .map((tensor) => ({ file: `${name}.safetensors`, name: tensor })),
    ...unreadKeys(json, inputs)
      .filter((path) => !compared.has(path))
      .map((path) => ({ file: `${name}.json`, name: path })),
  ];
}

/** Key paths that are neither remarks nor inputs that were read. */
export function unreadKeys(json: Json, { keys, remarks }: CaseInputs): string[] {
  const isKnown = (path: string): boolean => {
    if (path === "" || provenance.test(path) || remarks?.test(path)) return true;
    return (keys?.test(path) ?? false) && json.wasRead(path);
  };
  return json.leaves().filter((path) => !isKnown(path));
}

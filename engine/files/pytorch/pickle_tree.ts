import { CorruptFileError } from "../errors.ts";
import {
  PickleDict,
  PickleGlobal,
  PickleList,
  PickleRecord,
  PickleSet,
  PickleStorage,
  PickleTensor,
  PickleTuple,
  type PickleValue,
} from "./pickle_values.ts";

/** A leaf that is no tensor; empty containers are leaves, too. */
export type PlainValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | readonly []
  | Readonly<Record<string, never>>;

// Containers may refer to each other and to themselves: a short pickle can describe an endless tree.
const deepest = 64;
const largestNodeCount = 2 ** 20;
const largestTextLength = 2 ** 26;

/** The leaves of a pickle by path: keys and positions joined by slashes, the empty path for a bare value. */
export interface PickleLeaves {
  readonly tensors: ReadonlyMap<string, PickleTensor>;
  readonly plainValues: ReadonlyMap<string, PlainValue>;
}

function keyText(key: PickleValue): string {
  if (typeof key === "object" && key !== null) {
    if (key instanceof PickleTuple)
      return `(${key.items.map((item) => (typeof item === "object" ? "…" : String(item))).join(", ")})`;
    throw new CorruptFileError("unpickle: a dictionary key is neither text nor a number; the file is damaged");
  }
  return String(key);
}

/** Members of a container, one at a time since a short pickle can describe very many; none for a leaf. */
function* membersOf(value: PickleValue): Generator<[string, PickleValue]> {
  if (value instanceof PickleDict) {
    for (const [key, item] of value.entries) yield [keyText(key), item];
  } else if (value instanceof PickleList || value instanceof PickleTuple || value instanceof PickleSet) {
    for (const [i, item] of value.items.entries()) yield [String(i), item];
  } else if (value instanceof PickleRecord) {
    yield* membersOf(value.state ?? new PickleTuple(value.args));
  }
}

function leafOf(value: PickleValue): PickleTensor | PlainValue {
  if (value instanceof PickleStorage) {
    return new PickleTensor(value, value.dtype ?? "u8", 0, [value.size], [1]);
  }
  if (value instanceof PickleGlobal) return value.name;
  if (value instanceof PickleRecord || value instanceof PickleDict) return {};
  if (value instanceof PickleList || value instanceof PickleTuple || value instanceof PickleSet) return [];
  return value;
}

/** Counts the nodes of one tree. The counter throws CorruptFileError where they are more than in any checkpoint. */
function nodeCounter(): (path: string, depth: number) => void {
  let nodes = 0;
  let text = 0;
  return (path, depth) => {
    nodes += 1;
    text += path.length;
    if (depth > deepest || nodes > largestNodeCount || text > largestTextLength) {
      throw new CorruptFileError(
        "unpickle: containers are nested too deeply, or endlessly; the file is damaged or malicious",
      );
    }
  };
}

/** Lists the leaves. @throws CorruptFileError if the tree is deeper or larger than any checkpoint, or a path stands for two leaves */
export function leavesOf(root: PickleValue): PickleLeaves {
  const tensors = new Map<string, PickleTensor>();
  const plainValues = new Map<string, PlainValue>();
  const countNode = nodeCounter();
  const visit = (value: PickleValue, path: string, depth: number): void => {
    countNode(path, depth);
    let isLeaf = true;
    for (const [key, item] of membersOf(value)) {
      isLeaf = false;
      visit(item, depth === 0 ? key : `${path}/${key}`, depth + 1);
    }
    if (!isLeaf) return;
    if (tensors.has(path) || plainValues.has(path)) {
      throw new CorruptFileError(`unpickle: ${JSON.stringify(path)} stands for two values; rename one of them`);
    }
    const leaf = leafOf(value);
    if (leaf instanceof PickleTensor) tensors.set(path, leaf);
    else plainValues.set(path, leaf);
  };
  visit(root, "", 0);
  return { tensors, plainValues };
}

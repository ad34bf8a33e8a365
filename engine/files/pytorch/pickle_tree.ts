import { CorruptFileError } from "../errors.ts";
import { moduleMembers } from "./pickle_modules.ts";
import {
  InertRecord,
  PickleDict,
  PickleGlobal,
  PickleList,
  PickleOpaque,
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
  /** What stands where a tensor may be expected and is none that can be read, by path: what it is. */
  readonly unreadable: ReadonlyMap<string, string>;
}

function keyText(key: PickleValue): string {
  if (typeof key !== "object" || key === null) return String(key);
  if (key instanceof PickleTuple)
    return `(${key.items.map((item) => (typeof item === "object" ? "…" : String(item))).join(", ")})`;
  if (key instanceof PickleGlobal) return key.name;
  if (key instanceof PickleRecord) return `<${key.global}>`;
  if (key instanceof PickleTensor || key instanceof PickleOpaque) return "<tensor>";
  if (key instanceof PickleSet || key instanceof Uint8Array) return key instanceof PickleSet ? "<set>" : "<bytes>";
  throw new CorruptFileError("unpickle: a dictionary key is neither text nor a number; the file is damaged");
}

type Each = (key: string, item: PickleValue) => void;

/** Entries with their keys as text; keys that would look alike, such as 1 and "1", are numbered. */
function eachEntry(entries: ReadonlyMap<PickleValue, PickleValue>, each: Each): void {
  const seen = new Map<string, number>();
  for (const [key, item] of entries) {
    const text = keyText(key);
    const before = seen.get(text) ?? 0;
    seen.set(text, before + 1);
    each(before === 0 ? text : `${text} #${before + 1}`, item);
  }
}

function eachItem(items: readonly PickleValue[], each: Each): void {
  for (let i = 0; i < items.length; i++) each(String(i), items[i] ?? null);
}

/** The attributes of an object, or what it was made from; an object in their place is one attribute. */
function stateOf({ state, args }: PickleRecord): PickleValue {
  if (state instanceof PickleRecord) return new PickleTuple([state]);
  return state ?? new PickleTuple(args);
}

/** What an object of an unknown class holds, its content before its attributes; else what it was made from. */
function eachContent(value: InertRecord, each: Each): void {
  eachEntry(value.entries, each);
  eachItem(value.items, each);
  const hasContent = value.entries.size > 0 || value.items.length > 0;
  if (value.state !== null)
    eachMember(stateOf(value), (key, item) => each(hasContent ? `attributes.${key}` : key, item));
  else if (!hasContent) eachItem(value.args, each);
}

/** Members of a container, one at a time since a short pickle can describe very many; none for a leaf. */
function eachMember(value: PickleValue, each: Each): void {
  if (value instanceof PickleDict) eachEntry(value.entries, each);
  else if (value instanceof PickleList || value instanceof PickleTuple || value instanceof PickleSet)
    eachItem(value.items, each);
  else if (value instanceof InertRecord) eachContent(value, each);
  else if (value instanceof PickleRecord) eachMember(stateOf(value), each);
}

function leafOf(value: PickleValue): PickleTensor | PickleOpaque | PlainValue {
  if (value instanceof PickleStorage) {
    if (value.foreign) return new PickleOpaque(`data of ${value.foreign.className}`);
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

/** A place in the tree, and what led there. */
interface Position {
  readonly path: string;
  readonly depth: number;
  /** Whether the value there is part of a module. */
  readonly isInModule: boolean;
  /** Name of the unknown function or class to which everything from here on was handed. */
  readonly handedTo: string | undefined;
}

/** Name of the class or function that a value was handed to when it was made from its arguments alone. */
function calleeOf(value: PickleValue): string | undefined {
  const isCall = value instanceof InertRecord && value.state === null && value.entries.size + value.items.length === 0;
  return isCall ? value.global : undefined;
}

/** Collects the leaves of one tree. */
class LeafCollector {
  readonly tensors = new Map<string, PickleTensor>();
  readonly plainValues = new Map<string, PlainValue>();
  readonly unreadable = new Map<string, string>();
  private readonly countNode = nodeCounter();
  /** Objects of unknown classes refer to each other; each is listed once, and where it is met again left out. */
  private readonly listed = new Set<InertRecord>();

  visit(value: PickleValue, at: Position): void {
    if (value instanceof InertRecord) this.visitInert(value, at);
    else this.list(value, at);
  }

  private visitInert(value: InertRecord, at: Position): void {
    const parts = moduleMembers(value);
    if (!parts) this.unreadable.set(at.path, `an object of ${value.global}`);
    if (this.listed.has(value) || at.depth >= deepest) return;
    this.listed.add(value);
    this.list(value, at, parts);
  }

  private list(value: PickleValue, at: Position, parts?: ReturnType<typeof moduleMembers>): void {
    this.countNode(at.path, at.depth);
    // The names of modules within modules are joined as in a state dictionary.
    const start = at.depth === 0 ? "" : `${at.path}${parts && at.isInModule ? "." : "/"}`;
    const [depth, isInModule, handedTo] = [at.depth + 1, parts !== undefined, at.handedTo ?? calleeOf(value)];
    let isLeaf = true;
    const visit = (key: string, item: PickleValue): void => {
      isLeaf = false;
      this.visit(item, { path: start + key, depth, isInModule, handedTo });
    };
    if (parts) for (const [key, item] of parts) visit(key, item);
    else eachMember(value, visit);
    if (isLeaf) this.add(value, at);
  }

  private add(value: PickleValue, { path, handedTo }: Position): void {
    const leaf = leafOf(value);
    if (leaf instanceof PickleOpaque) {
      this.unreadable.set(path, leaf.reason);
      return;
    }
    if (this.tensors.has(path) || this.plainValues.has(path)) {
      throw new CorruptFileError(`unpickle: ${JSON.stringify(path)} stands for two values; rename one of them`);
    }
    if (!(leaf instanceof PickleTensor)) this.plainValues.set(path, leaf);
    else if (handedTo === undefined) this.tensors.set(path, leaf);
    else this.unreadable.set(path, `handed to ${handedTo}, which is not run`);
  }
}

/** Lists the leaves. @throws CorruptFileError if the tree is deeper or larger than any checkpoint, or a path stands for two leaves */
export function leavesOf(root: PickleValue): PickleLeaves {
  const collector = new LeafCollector();
  collector.visit(root, { path: "", depth: 0, isInModule: false, handedTo: undefined });
  return collector;
}

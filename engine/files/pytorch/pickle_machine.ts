import { CorruptFileError, ForbiddenGlobalError } from "../errors.ts";
import type { PickleCursor } from "./pickle_cursor.ts";
import { attributeName, callGlobal, findGlobal } from "./pickle_globals.ts";
import { storageOf } from "./pickle_tensors.ts";
import {
  InertRecord,
  PickleDict,
  PickleGlobal,
  PickleList,
  PickleOpaque,
  PickleRecord,
  PickleSet,
  type PickleStorage,
  PickleTuple,
  type PickleValue,
} from "./pickle_values.ts";

// More values than any checkpoint has; bounds memory, as one byte of a pickle can stand for one value.
const largestCount = 2 ** 22;

/** An error for what only a damaged or forged pickle holds. */
export function damaged(what: string): CorruptFileError {
  return new CorruptFileError(`unpickle: ${what}; the file is damaged`);
}

/** Stack and memo of a pickle that is being read. */
export class PickleMachine {
  readonly cursor: PickleCursor;
  private stack: PickleValue[] = [];
  /** Stacks that a mark has set aside. */
  private readonly outer: PickleValue[][] = [];
  private readonly memo = new Map<number, PickleValue>();
  private spent = 0;
  /** Whether `getattr` was named and has not been called with harmless arguments since. */
  private attributeNamed = "";
  /** Every storage that was mentioned, by key. */
  readonly storages = new Map<string, PickleStorage>();

  constructor(cursor: PickleCursor) {
    this.cursor = cursor;
  }

  private readonly spend = (items: number): void => {
    this.spent += items;
    if (this.spent > largestCount) throw damaged(`more than ${largestCount} values are built`);
  };

  push(value: PickleValue): void {
    this.spend(1);
    this.stack.push(value);
  }
  pop(): PickleValue {
    const value = this.top();
    this.stack.pop();
    return value;
  }
  top(): PickleValue {
    const value = this.stack.at(-1);
    if (value === undefined) throw damaged("a value is missing");
    return value;
  }
  /** Drops the last value, or the last mark where nothing follows it. */
  discard(): void {
    if (this.stack.length === 0) this.popMark();
    else this.stack.pop();
  }
  mark(): void {
    this.spend(1);
    this.outer.push(this.stack);
    this.stack = [];
  }
  popMark(): PickleValue[] {
    const items = this.stack;
    const before = this.outer.pop();
    if (!before) throw damaged("a mark is missing");
    this.stack = before;
    return items;
  }
  popTuple(length: number): PickleTuple {
    const start = this.stack.length - length;
    if (start < 0) throw damaged("a value is missing");
    return new PickleTuple(this.stack.splice(start));
  }

  store(index = this.memo.size): void {
    this.spend(1);
    this.memo.set(index, this.top());
  }
  recall(index: number): void {
    const value = this.memo.get(index);
    if (value === undefined) throw damaged(`value ${index} is recalled but was never stored`);
    this.push(value);
  }

  appendTo(items: readonly PickleValue[]): void {
    const list = this.top();
    if (!(list instanceof PickleList || list instanceof InertRecord))
      throw damaged("items are appended to something that is no list");
    for (const item of items) list.items.push(item);
  }
  addTo(items: readonly PickleValue[]): void {
    const set = this.top();
    if (!(set instanceof PickleSet || set instanceof InertRecord))
      throw damaged("items are added to something that is no set");
    for (const item of items) set.items.push(item);
  }
  setIn(items: readonly PickleValue[]): void {
    const dict = this.top();
    if (!(dict instanceof PickleDict || dict instanceof InertRecord))
      throw damaged("keys are set in something that is no dictionary");
    if (items.length % 2 === 1) throw damaged("a key has no value");
    for (let i = 0; i + 1 < items.length; i += 2) dict.entries.set(items[i] ?? null, items[i + 1] ?? null);
  }

  call(callee: PickleValue | undefined, args: PickleValue | undefined): void {
    this.push(callGlobal(callee, args, this.spend));
    if (callee instanceof PickleGlobal && callee.name === attributeName) this.attributeNamed = "";
  }
  /** Keyword arguments are kept for classes that are not known; the others have none. */
  callWithKeywords(
    callee: PickleValue | undefined,
    args: PickleValue | undefined,
    keywords: PickleValue | undefined,
  ): void {
    if (!(keywords instanceof PickleDict)) throw damaged("a call has keyword arguments that are no dictionary");
    this.call(callee, args);
    if (keywords.entries.size === 0) return;
    const made = this.top();
    if (made instanceof InertRecord) made.state = keywords;
    else if (!(made instanceof PickleOpaque)) throw damaged("a call has keyword arguments");
  }
  pushGlobal(module: PickleValue, name: PickleValue): void {
    if (typeof module !== "string" || typeof name !== "string") throw damaged("a global is not named by text");
    const global = findGlobal(module, name);
    if (global.name === attributeName) this.attributeNamed = `${module}.${name}`;
    this.push(global);
  }
  /** @throws ForbiddenGlobalError if a function that acts was named for something else than the member of a class */
  finish(): void {
    if (this.attributeNamed !== "") throw new ForbiddenGlobalError(this.attributeNamed);
  }
  /** Every mention of a storage must agree on what it holds. */
  pushStorage(id: PickleValue): void {
    // Old versions stored the source text of a module's class beside its name.
    const [tag, type] = id instanceof PickleTuple ? id.items : [];
    if (tag === "module" && type instanceof PickleGlobal) {
      this.push(type);
      return;
    }
    const storage = storageOf(id);
    const before = this.storages.get(storage.key);
    if (
      before &&
      (before.unitBytes !== storage.unitBytes || before.dtype !== storage.dtype || before.rootSize !== storage.rootSize)
    ) {
      throw damaged(`storage ${JSON.stringify(storage.key)} is described in two ways`);
    }
    this.storages.set(storage.key, storage);
    this.push(storage);
  }
  /** Sets attributes: kept for records, dropped for dictionaries (PyTorch hangs version numbers on them). */
  build(state: PickleValue): void {
    const target = this.top();
    if (target instanceof PickleRecord) target.state = state;
    else if (!(target instanceof PickleDict || target instanceof PickleOpaque))
      throw damaged("attributes are set on something that has none");
  }
}

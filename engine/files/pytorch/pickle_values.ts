import { elementBytes, type FileDType } from "../host_tensor.ts";

/** Python's tuple. */
export class PickleTuple {
  readonly items: readonly PickleValue[];
  constructor(items: readonly PickleValue[]) {
    this.items = items;
  }
}

/** Python's list; `items` may grow while the pickle is read. */
export class PickleList {
  readonly items: PickleValue[] = [];
}

/** Python's set or frozenset. */
export class PickleSet {
  readonly items: PickleValue[] = [];
}

/** Python's dict, OrderedDict or Counter, in the order of insertion. */
export class PickleDict {
  readonly entries = new Map<PickleValue, PickleValue>();
}

/** An object kept as inert data: what it was, what it was made from, and its attributes. */
export class PickleRecord {
  readonly global: string;
  readonly args: readonly PickleValue[];
  state: PickleValue = null;
  constructor(global: string, args: readonly PickleValue[] = []) {
    this.global = global;
    this.args = args;
  }
}

/** A class or function that the pickle refers to; only those of `pickle_globals.ts` exist. */
export class PickleGlobal {
  readonly name: string;
  constructor(name: string) {
    this.name = name;
  }
}

/** A run of elements in the file; several tensors may share one. */
export class PickleStorage {
  /** Name of the run within the file. */
  readonly key: string;
  /** `undefined` for runs of plain bytes, whose tensors state their own type. */
  readonly dtype: FileDType | undefined;
  /** Elements of the whole run; bytes where `dtype` is undefined. */
  readonly rootSize: number;
  /** The part of the run that this storage covers. */
  readonly start: number;
  readonly size: number;
  constructor(key: string, dtype: FileDType | undefined, rootSize: number, start = 0, size = rootSize) {
    this.key = key;
    this.dtype = dtype;
    this.rootSize = rootSize;
    this.start = start;
    this.size = size;
  }
  /** Bytes of one unit of `rootSize`, `start` and `size`. */
  get unitBytes(): number {
    return this.dtype ? elementBytes(this.dtype) : 1;
  }
}

/** A tensor as the pickle describes it; offset and strides in elements, checked to stay within the storage. */
export class PickleTensor {
  readonly storage: PickleStorage;
  readonly dtype: FileDType;
  readonly offset: number;
  readonly shape: readonly number[];
  readonly strides: readonly number[];
  constructor(
    storage: PickleStorage,
    dtype: FileDType,
    offset: number,
    shape: readonly number[],
    strides: readonly number[],
  ) {
    this.storage = storage;
    this.dtype = dtype;
    this.offset = offset;
    this.shape = shape;
    this.strides = strides;
  }
}

/** Everything that a checkpoint's pickle can describe; integers beyond 2^53 are bigints. */
export type PickleValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | PickleTuple
  | PickleList
  | PickleSet
  | PickleDict
  | PickleRecord
  | PickleGlobal
  | PickleStorage
  | PickleTensor;

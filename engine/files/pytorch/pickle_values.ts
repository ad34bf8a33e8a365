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

/**
 * An object of a class that is not known, or the result of a function that is not: never made, only what it was to be made from.
 * Subclasses of dictionaries and lists have entries and items.
 */
export class InertRecord extends PickleRecord {
  readonly entries = new Map<PickleValue, PickleValue>();
  readonly items: PickleValue[] = [];
}

/** A tensor that is there but cannot be read. */
export class PickleOpaque {
  /** What it is, for messages. */
  readonly reason: string;
  constructor(reason: string) {
    this.reason = reason;
  }
}

/** A class or function that the pickle refers to, by name only; those of `pickle_globals.ts` make something. */
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
  /** Class of a run whose elements cannot be read, such as complex numbers. */
  readonly foreign: ForeignElements | undefined;
  constructor(
    key: string,
    type: FileDType | ForeignElements | undefined,
    rootSize: number,
    start = 0,
    size = rootSize,
  ) {
    this.key = key;
    this.dtype = typeof type === "string" ? type : undefined;
    this.foreign = typeof type === "string" ? undefined : type;
    this.rootSize = rootSize;
    this.start = start;
    this.size = size;
  }
  /** Bytes of one unit of `rootSize`, `start` and `size`; undefined for elements of unknown size. */
  get unitBytes(): number | undefined {
    if (this.foreign) return this.foreign.elementBytes;
    return this.dtype ? elementBytes(this.dtype) : 1;
  }
}

/** Elements that files hold and that cannot be read. */
export interface ForeignElements {
  /** Class of the storage, such as `torch.ComplexFloatStorage`. */
  readonly className: string;
  readonly elementBytes: number | undefined;
}

/** A tensor as the pickle describes it; offset and strides in elements, checked to stay within the storage. */
export class PickleTensor {
  readonly storage: PickleStorage;
  readonly dtype: FileDType;
  readonly offset: number;
  readonly shape: readonly number[];
  readonly strides: readonly number[];
  /** Whether the values are those in the storage with the sign changed. */
  readonly isNegated: boolean;
  constructor(
    storage: PickleStorage,
    dtype: FileDType,
    offset: number,
    shape: readonly number[],
    strides: readonly number[],
    marks: { readonly isNegated: boolean } = { isNegated: false },
  ) {
    this.storage = storage;
    this.dtype = dtype;
    this.offset = offset;
    this.shape = shape;
    this.strides = strides;
    this.isNegated = marks.isNegated;
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
  | PickleOpaque
  | PickleGlobal
  | PickleStorage
  | PickleTensor;

import type { Device } from "../run/device.ts";
import { readTensor } from "../run/read_tensor.ts";
import { bytesPerElement, type DType, type HostArray } from "./dtype.ts";
import { DeviceMixError, ProgramMixError, ShapeError } from "./errors.ts";
import { Program } from "./program.ts";
import { checkShape, type Shape, showShape, sizeOf } from "./shape.ts";
import { bindingAlignment, type StateStorage, type Storage } from "./storage.ts";

/** A typed, shaped range of memory, either recorded by a program (virtual) or persistent (state). Immutable in shape. */
export class Tensor {
  /** Number of elements. */
  readonly size: number;
  readonly base: Tensor;

  constructor(
    readonly device: Device,
    readonly shape: Shape,
    readonly dtype: DType,
    readonly storage: Storage,
    /** Offset into the storage, in bytes; a multiple of 256. */
    readonly byteOffset: number = 0,
    /** The tensor that this one is a reshaped form of; both share one gradient. */
    base?: Tensor,
  ) {
    checkShape("tensor", shape);
    this.size = sizeOf(shape);
    this.base = base ?? this;
  }

  get sizeBytes(): number {
    return this.size * bytesPerElement[this.dtype];
  }

  /** The program that computes this tensor; for state, a new one that the first operation starts. */
  get program(): Program {
    return this.storage.kind === "state" ? new Program(this.device, { eager: true }) : this.storage.owner.resolve();
  }

  /**
   * Copies the values to the host; runs the recorded operations first if the tensor was recorded outside of an explicit program.
   *
   * @throws ReusedTensorError if the planner gave the memory to another tensor
   * @throws IndexError if an operation of the program met an index outside its table
   */
  read(): Promise<HostArray> {
    return readTensor(this);
  }

  /**
   * Frees the memory of state, with that of all tensors that lie in it; a later use starts from zeros. A recorded tensor has none of
   * its own: its program frees it.
   */
  destroy(): void {
    if (this.storage.kind === "state") this.storage.destroy();
  }
}

/** The persistent storage behind a tensor, or undefined while it is only recorded. */
export function stateOf(x: Tensor): StateStorage | undefined {
  return x.storage.kind === "state" ? x.storage : x.storage.materialized;
}

/** An uninitialised tensor of the same shape and type in the same program. */
export function emptyLike(x: Tensor): Tensor {
  return x.program.empty(x.shape, x.dtype);
}

/**
 * The same elements under another shape; costs nothing. One length may be -1.
 *
 * @throws ShapeError if the number of elements differs
 */
export function reshape(x: Tensor, shape: Shape): Tensor {
  const known = sizeOf(shape.filter((length) => length !== -1));
  const resolved = shape.map((length) => (length === -1 ? x.size / known : length));
  if (sizeOf(resolved) !== x.size || shape.filter((length) => length === -1).length > 1) {
    throw new ShapeError(`reshape: ${showShape(x.shape)} has ${x.size} elements and does not fit ${showShape(shape)}`);
  }
  return new Tensor(x.device, resolved, x.dtype, x.storage, x.byteOffset, x.base);
}

/**
 * Rows `from … to` of the first axis without a copy.
 *
 * @throws ShapeError if the range is empty, outside, or does not start at a multiple of 256 bytes (use `slice` there)
 */
export function rows(x: Tensor, from: number, to: number): Tensor {
  const [length, ...rest] = x.shape;
  if (length === undefined || from < 0 || to > length || from >= to) {
    throw new ShapeError(`rows: ${from} … ${to} is not a range of the first axis of ${showShape(x.shape)}`);
  }
  const byteOffset = x.byteOffset + from * sizeOf(rest) * bytesPerElement[x.dtype];
  if (byteOffset % bindingAlignment !== 0) {
    throw new ShapeError(
      `rows: row ${from} starts at byte ${byteOffset}, not a multiple of ${bindingAlignment}; use slice`,
    );
  }
  return new Tensor(x.device, [to - from, ...rest], x.dtype, x.storage, byteOffset);
}

/** Whether `rows` can view the range. */
export function canViewRows(x: Tensor, from: number): boolean {
  const [, ...rest] = x.shape;
  return (x.byteOffset + from * sizeOf(rest) * bytesPerElement[x.dtype]) % bindingAlignment === 0;
}

/**
 * The one program of several operands; eager ones are merged, state belongs to none.
 *
 * @throws DeviceMixError, ProgramMixError if the operands belong to different devices or recorded programs
 */
export function programOf(operation: string, ...operands: readonly (Tensor | undefined)[]): Program {
  const tensors = operands.filter((x) => x !== undefined);
  const [first] = tensors;
  if (!first) throw new ShapeError(`${operation}: no operand`);
  let program: Program | undefined;
  for (const x of tensors) {
    if (x.device !== first.device) {
      throw new DeviceMixError(
        `${operation}: operands live on two devices (${first.device.info.name}, ${x.device.info.name}); read one and upload it to the other`,
      );
    }
    if (stateOf(x)) continue;
    const other = x.program;
    program = program === undefined || program === other ? other : mergePrograms(operation, program, other);
  }
  return program ?? new Program(first.device, { eager: true });
}

function mergePrograms(operation: string, a: Program, b: Program): Program {
  if (b.eager) return a.absorb(b);
  if (a.eager) return b.absorb(a);
  throw new ProgramMixError(
    `${operation}: operands were recorded by two programs ("${a.name}", "${b.name}"); pass one's result to the other as an input or keep it in state`,
  );
}

import { bytesPerElement, type DType, type HostArray } from "./dtype.ts";
import { DeviceMixError, ProgramMixError, ShapeError } from "./errors.ts";
import type { Device, GradientRule, Program, Tensor as RecordedTensor, Storage, TapeEntry } from "./recording.ts";
import { checkShape, type Shape, showShape, sizeOf } from "./shape.ts";
import { bindingAlignment, type StateStorage } from "./storage.ts";

/** A typed, shaped range of memory, either recorded by a program (virtual) or persistent (state). Immutable in shape. */
export class Tensor implements RecordedTensor {
  readonly size: number;
  readonly base: Tensor;
  readonly origin: TapeEntry | undefined;

  constructor(
    readonly device: Device,
    readonly shape: Shape,
    readonly dtype: DType,
    readonly storage: Storage,
    /** Offset into the storage, in bytes; a multiple of 256. */
    readonly byteOffset: number = 0,
    /** The tensor that this one is a reshaped form of; both share one gradient. */
    base?: Tensor,
    /** For a part of another tensor, which shares its memory: from the gradient of the part to that of the whole. */
    part?: { readonly whole: Tensor; readonly rule: GradientRule },
  ) {
    checkShape("tensor", shape);
    this.size = sizeOf(shape);
    this.base = base ?? this;
    this.origin = part && { y: this, inputs: [part.whole], rule: part.rule, order: device.sequence.next++ };
  }

  get sizeBytes(): number {
    return this.size * bytesPerElement[this.dtype];
  }

  get program(): Program {
    return this.storage.kind === "state" ? this.device.program({ eager: true }) : this.storage.owner.resolve();
  }

  read(): Promise<HostArray> {
    return this.device.read(this);
  }

  /** What Node and Deno print, too, instead of the internals. */
  toString(): string {
    return `Tensor ${showShape(this.shape)} ${this.dtype} on ${this.device.info.name}`;
  }

  [Symbol.for("nodejs.util.inspect.custom")](): string {
    return this.toString();
  }

  [Symbol.for("Deno.customInspect")](): string {
    return this.toString();
  }

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

/** The same values without a way back: no gradient passes. Costs nothing. */
export function detach(x: Tensor): Tensor {
  return new Tensor(x.device, x.shape, x.dtype, x.storage, x.byteOffset);
}

/**
 * Rows `from … to` of the first axis without a copy.
 *
 * @param rule - from the gradient of the rows to that of `x`; without one, they are detached
 * @throws ShapeError if the range is empty, outside, or does not start at a multiple of 256 bytes (use `slice` there)
 */
export function viewRows(x: Tensor, from: number, to: number, rule?: GradientRule): Tensor {
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
  const part = rule && { whole: x, rule };
  return new Tensor(x.device, [to - from, ...rest], x.dtype, x.storage, byteOffset, undefined, part);
}

/** Whether `viewRows` can view rows from there. */
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
  const [first, ...others] = operands.filter((x) => x !== undefined);
  if (!first) throw new ShapeError(`${operation}: no operand`);
  return mergedProgram(operation, first.device, recordingOf(first), others) ?? first.device.program({ eager: true });
}

/**
 * The program that holds `start` and what was recorded for `tensors`; undefined if there is nothing of either.
 *
 * @throws DeviceMixError, ProgramMixError
 */
export function mergedProgram(
  operation: string,
  device: Device,
  start: Program | undefined,
  tensors: readonly Tensor[],
): Program | undefined {
  let program = start;
  for (const x of tensors) {
    if (x.device !== device) {
      throw new DeviceMixError(
        `${operation}: operands live on two devices (${device.info.name}, ${x.device.info.name}); read one and upload it to the other`,
      );
    }
    const other = recordingOf(x);
    if (!other || other === program) continue;
    program = program === undefined ? other : mergePrograms(operation, program, other);
  }
  return program;
}

function recordingOf(x: Tensor): Program | undefined {
  return stateOf(x) ? undefined : x.program;
}

function mergePrograms(operation: string, a: Program, b: Program): Program {
  if (b.eager) return a.absorb(b);
  if (a.eager) return b.absorb(a);
  throw new ProgramMixError(
    `${operation}: operands were recorded by two programs ("${a.name}", "${b.name}"); pass one's result to the other as an input or keep it in state`,
  );
}

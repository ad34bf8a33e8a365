import { OverLimitError } from "../core/errors.ts";
import type { ByteSource } from "./byte_source.ts";
import {
  countElements,
  elementBytes,
  elementsOf,
  elementsToF32,
  type FileDType,
  type HostTensor,
} from "./host_tensor.ts";

// The largest piece that is read at once; beside the tensor itself nothing larger is held.
const windowBytes = 4 * 2 ** 20;

/** How the elements of a tensor lie; strides in elements. */
export interface Layout {
  readonly dtype: FileDType;
  readonly shape: readonly number[];
  readonly strides: readonly number[];
}

/** Where they lie: element 0 begins at `offsetBytes`. */
export interface StridedView extends Layout {
  readonly source: ByteSource;
  readonly offsetBytes: number;
}

/** Strides of a row-major tensor, in elements. */
export function rowMajorStrides(shape: readonly number[]): number[] {
  const strides: number[] = new Array(shape.length);
  let step = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    strides[axis] = step;
    step *= Math.max(1, shape[axis] ?? 1);
  }
  return strides;
}

/** Elements from the first to the last one that a view touches, both included; 0 for an empty view. */
export function viewExtent(shape: readonly number[], strides: readonly number[]): number {
  if (shape.includes(0)) return 0;
  return 1 + shape.reduce((sum, size, axis) => sum + (size - 1) * (strides[axis] ?? 0), 0);
}

interface Axis {
  readonly size: number;
  /** Step in the source and in the row-major result, in units. */
  readonly step: number;
  readonly outStep: number;
}

/** Axes in the order in which the source is visited front to back; neighbours that form one run are merged. */
function visitingOrder(shape: readonly number[], strides: readonly number[]): Axis[] {
  const outSteps = rowMajorStrides(shape);
  const axes = shape
    .map((size, i): Axis => ({ size, step: strides[i] ?? 0, outStep: outSteps[i] ?? 0 }))
    .filter((axis) => axis.size > 1)
    .sort((a, b) => b.step - a.step || b.outStep - a.outStep);
  const merged: Axis[] = [];
  for (const axis of axes) {
    const last = merged.at(-1);
    if (last && last.step === axis.size * axis.step && last.outStep === axis.size * axis.outStep) {
      merged[merged.length - 1] = { ...axis, size: axis.size * last.size };
    } else {
      merged.push(axis);
    }
  }
  return merged;
}

function extent(axes: readonly Axis[]): number {
  return 1 + axes.reduce((sum, axis) => sum + (axis.size - 1) * axis.step, 0);
}

/** True if reading the view in visiting order never goes back in the source. */
export function readsForward(shape: readonly number[], strides: readonly number[]): boolean {
  const axes = visitingOrder(shape, strides);
  return axes.every((axis, i) => axis.step >= extent(axes.slice(i + 1)) || axis.step === 0);
}

type Cells = Uint8Array | Uint16Array | Uint32Array | Float32Array;

/** Copies the elements of one loaded window to their places in the result. */
function scatter(window: Cells, out: Cells, axes: readonly Axis[], from: number, to: number): void {
  const [axis, ...inner] = axes;
  if (!axis) {
    out[to] = window[from] ?? 0;
  } else if (inner.length > 0) {
    for (let i = 0; i < axis.size; i++) scatter(window, out, inner, from + i * axis.step, to + i * axis.outStep);
  } else if (axis.step === 1 && axis.outStep === 1) {
    out.set(window.subarray(from, from + axis.size), to);
  } else {
    for (let i = 0; i < axis.size; i++) out[to + i * axis.outStep] = window[from + i * axis.step] ?? 0;
  }
}

interface Gather {
  readonly source: ByteSource;
  readonly offsetBytes: number;
  readonly unitBytes: number;
  readonly axes: readonly Axis[];
  readonly out: Cells;
  readonly decode: (bytes: Uint8Array) => Cells;
}

async function loadAndScatter(g: Gather, axes: readonly Axis[], from: number, to: number): Promise<void> {
  const bytes = await g.source.read(g.offsetBytes + from * g.unitBytes, extent(axes) * g.unitBytes);
  scatter(g.decode(bytes), g.out, axes, 0, to);
}

async function gather(g: Gather, axes = g.axes, from = 0, to = 0): Promise<void> {
  const [axis, ...inner] = axes;
  if (!axis || extent(axes) * g.unitBytes <= windowBytes) return loadAndScatter(g, axes, from, to);
  const room = windowBytes / g.unitBytes - extent(inner);
  const perWindow = room < 0 ? 0 : Math.floor(room / axis.step) + 1;
  for (let i = 0; i < axis.size; i += Math.max(1, perWindow)) {
    const size = Math.min(perWindow, axis.size - i);
    const [start, outStart] = [from + i * axis.step, to + i * axis.outStep];
    if (perWindow > 0) await loadAndScatter(g, [{ ...axis, size }, ...inner], start, outStart);
    else await gather(g, inner, start, outStart);
  }
}

function bitsOf(bytes: Uint8Array, unitBytes: number): Cells {
  const bits = elementsOf(unitBytes === 1 ? "u8" : unitBytes === 2 ? "u16" : "u32", bytes);
  if (bits instanceof Uint8Array || bits instanceof Uint16Array) return bits;
  return new Uint32Array(bits.buffer, bits.byteOffset, bits.length);
}

/** @throws OverLimitError if the runtime cannot give an array of that length */
function allocated<T>(length: number, create: (length: number) => T): T {
  try {
    return create(length);
  } catch (cause) {
    throw new OverLimitError(
      `read: a tensor of ${length} values or bytes is more than this process can hold in one array; give it more memory, or store the tensor in parts`,
      { cause },
    );
  }
}

/** Reads a view as a row-major tensor; only windows around its elements are read. */
export async function readView(view: StridedView): Promise<HostTensor> {
  const { source, offsetBytes, dtype, shape } = view;
  const size = elementBytes(dtype);
  const count = countElements(shape) ?? 0;
  const bytes = allocated(count * size, (length) => new Uint8Array(length));
  // 8-byte elements are moved as pairs of words: one more axis, so that numbers and not bigints are copied.
  const pairs = size === 8;
  const axes = pairs
    ? visitingOrder([...shape, 2], [...view.strides.map((stride) => 2 * stride), 1])
    : visitingOrder(shape, view.strides);
  const unitBytes = pairs ? 4 : size;
  const decode = (window: Uint8Array): Cells => bitsOf(window, unitBytes);
  if (count > 0) await gather({ source, offsetBytes, unitBytes, axes, out: decode(bytes), decode });
  return { dtype, shape, sizeBytes: bytes.byteLength, data: elementsOf(dtype, bytes) };
}

/** Reads a view as row-major floats, converting window by window, so that no second copy of the tensor is held. */
export async function readViewAsF32(view: StridedView): Promise<Float32Array> {
  const { source, offsetBytes, dtype, shape, strides } = view;
  const out = allocated(countElements(shape) ?? 0, (length) => new Float32Array(length));
  const decode = (window: Uint8Array): Cells => elementsToF32(dtype, elementsOf(dtype, window));
  const axes = visitingOrder(shape, strides);
  if (out.length > 0) await gather({ source, offsetBytes, unitBytes: elementBytes(dtype), axes, out, decode });
  return out;
}

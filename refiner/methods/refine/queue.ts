import { d, tgpu } from "typegpu";
import { alignUp, bindingAlignment } from "../../../engine/core/storage.ts";
import {
  type Device,
  type DType,
  defineKernel,
  nearest,
  OptionError,
  type Program,
  programOf,
  reshape,
  rows,
  type Shape,
  type Tensor,
} from "../../../engine/index.ts";
import insertSource from "../../../shaders/queue_insert.wgsl" with { type: "text" };
import swapSource from "../../../shaders/queue_swap.wgsl" with { type: "text" };

const floats = d.arrayOf(d.f32);
const indices = d.arrayOf(d.u32);
const labels = d.arrayOf(d.i32);

const SwapParams = d.struct({ rows: d.u32, columns: d.u32, k: d.u32, second: d.u32, epsilon: d.f32 }).$name("Params");
export const queueSwapKernel = defineKernel({
  name: "queue_swap",
  source: swapSource,
  params: SwapParams,
  layout: tgpu.bindGroupLayout({
    params: { uniform: SwapParams },
    projections: { storage: floats },
    indices: { storage: indices },
    similarities: { storage: floats },
    choice: { storage: indices },
    queue: { storage: floats },
    units: { storage: floats, access: "mutable" },
    neighbours: { storage: indices, access: "mutable" },
    chosenSimilarities: { storage: floats, access: "mutable" },
  }),
});

const InsertParams = d.struct({ entries: d.u32, batch: d.u32, columns: d.u32 }).$name("Params");
export const queueInsertKernel = defineKernel({
  name: "queue_insert",
  source: insertSource,
  params: InsertParams,
  layout: tgpu.bindGroupLayout({
    params: { uniform: InsertParams },
    projections: { storage: floats },
    samples: { storage: labels },
    classes: { storage: labels },
    pointer: { storage: indices },
    queue: { storage: floats, access: "mutable" },
    queueSamples: { storage: labels, access: "mutable" },
    queueClasses: { storage: labels, access: "mutable" },
    ages: { storage: labels, access: "mutable" },
  }),
});

/** What a lookup found. */
export interface Neighbours {
  /** The projections at unit length, `[R, P]`. */
  readonly own: Tensor;
  /** The chosen entries at unit length, `[R, P]`. */
  readonly swapped: Tensor;
  /** Their slots, `[R]` u32, and their similarities, `[R]`. */
  readonly slots: Tensor;
  readonly chosen: Tensor;
  /** All k candidates, best first: `[R, k]`. */
  readonly indices: Tensor;
  readonly similarities: Tensor;
}

export interface LookupOptions {
  readonly k: number;
  /** Sample index of each batch entry, `[B]` i32; entries of the same sample get similarity -1. Undefined in evaluation mode. */
  readonly samples?: Tensor;
  /** Class of each batch entry, `[B]` i32, -1 where unknown. */
  readonly classes: Tensor;
  /** Only entries of the same class are neighbours (oracle guidance). */
  readonly oracle?: boolean;
  /** Rank to take per row, `[R]` u32. */
  readonly choice: Tensor;
}

/** Names, shapes and types of a queue's state, as the published state dictionaries have them. */
export function queueEntries(length: number, columns: number) {
  return [
    { name: "queue.x", shape: [length, columns], dtype: "f32" },
    { name: "queue.idx", shape: [length], dtype: "i32" },
    { name: "queue.cls", shape: [length], dtype: "i32" },
    { name: "queue.age", shape: [length], dtype: "i32" },
    { name: "queue.ptr", shape: [1], dtype: "u32" },
  ] as const;
}

/** The queue of one head (arXiv 2402.10093, § 3.2): a FIFO of projections with sample indices, classes and ages. */
export class NeighbourQueue {
  readonly entries: Tensor;
  readonly samples: Tensor;
  readonly classes: Tensor;
  readonly ages: Tensor;
  readonly pointer: Tensor;

  constructor(
    readonly device: Device,
    readonly length: number,
    readonly columns: number,
    name = "queue",
  ) {
    const [entries, samples, classes, ages, pointer] = queueEntries(length, columns);
    const made = ({ name: entry, shape, dtype }: { name: string; shape: Shape; dtype: DType }): Tensor =>
      device.zeros(shape, dtype, entry.replace("queue", name));
    this.entries = made(entries);
    this.samples = made(samples);
    this.classes = made(classes);
    this.ages = made(ages);
    this.pointer = made(pointer);
  }

  /** State under the names of the published state dictionaries. */
  get state(): Record<"queue.x" | "queue.idx" | "queue.cls" | "queue.age" | "queue.ptr", Tensor> {
    return {
      "queue.x": this.entries,
      "queue.idx": this.samples,
      "queue.cls": this.classes,
      "queue.age": this.ages,
      "queue.ptr": this.pointer,
    };
  }

  /** Frees the memory. */
  destroy(): void {
    for (const state of Object.values(this.state)) state.destroy();
  }

  /** Fills the queue with N(0, 1) values that belong to no sample and no class. */
  initialize(values: Float32Array): void {
    const none = new Int32Array(this.length).fill(-1);
    this.device.write(this.entries, values);
    this.device.write(this.samples, none);
    this.device.write(this.classes, none);
    this.device.write(this.ages, new Int32Array(this.length));
    this.device.write(this.pointer, new Uint32Array(1));
  }

  /**
   * Cosine neighbours of the detached projections `[V_g · B, P]` among the stored entries.
   *
   * @throws OptionError if k is larger than the queue
   */
  lookup(projections: Tensor, options: LookupOptions): Neighbours {
    const { k, samples, classes, choice } = options;
    if (k > this.length)
      throw new OptionError(
        `queue: top-k ${k} is larger than the queue of ${this.length}; use a longer queue or a smaller k`,
      );
    const program = programOf("queue", projections, samples, classes, choice);
    const [rowCount = 1, columns = 1] = projections.shape;
    const found = nearest(projections, this.entries, {
      k,
      metric: "cosine",
      excludedSimilarity: -1,
      ...(samples ? { exclude: { queryIds: samples, bankIds: this.samples } } : {}),
      ...(options.oracle ? { sameClass: { queryClasses: classes, bankClasses: this.classes } } : {}),
    });
    const second = alignUp(4 * projections.size, bindingAlignment) / 4; // so that either half can be bound
    const units = program.empty([second + projections.size]);
    const slots = program.empty([rowCount], "u32");
    const chosen = program.empty([rowCount]);
    program.dispatch(
      queueSwapKernel,
      { rows: rowCount, columns, k, second, epsilon: 1e-12 }, // as l2Normalize
      {
        projections,
        indices: found.indices,
        similarities: found.similarities,
        choice,
        queue: this.entries,
        units,
        neighbours: slots,
        chosenSimilarities: chosen,
      },
      [Math.min(65535, rowCount)],
      { flops: 10 * projections.size, touchedBytes: { queue: projections.sizeBytes } },
    );
    const half = (from: number): Tensor => reshape(rows(units, from, from + projections.size), projections.shape);
    return { own: half(0), swapped: half(second), slots, chosen, ...found };
  }

  /**
   * Stores the projections of view 0, the first B rows, with wrap-around, and ages all entries by B. The pointer has been moved
   * by B before, with the metrics of the lookup (`NeighbourSource.stored`).
   */
  insert(program: Program, projections: Tensor, samples: Tensor, classes: Tensor): void {
    const batch = samples.size;
    if (batch > this.length)
      throw new OptionError(`queue: a batch of ${batch} does not fit a queue of ${this.length}; use a longer queue`);
    program.dispatch(
      queueInsertKernel,
      { entries: this.length, batch, columns: this.columns },
      {
        projections,
        samples,
        classes,
        pointer: this.pointer,
        queue: this.entries,
        queueSamples: this.samples,
        queueClasses: this.classes,
        ages: this.ages,
      },
      [Math.min(4096, Math.ceil(this.length / 64))],
      { touchedBytes: { queue: 4 * batch * this.columns } },
    );
  }
}

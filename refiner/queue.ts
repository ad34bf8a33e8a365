import { d, tgpu } from "typegpu";
import {
  concat,
  type Device,
  defineKernel,
  nearest,
  OptionError,
  type Program,
  programOf,
  type Tensor,
} from "../engine/index.ts";
import chooseSource from "../shaders/choose_rank.wgsl" with { type: "text" };
import advanceSource from "../shaders/queue_advance.wgsl" with { type: "text" };
import insertSource from "../shaders/queue_insert.wgsl" with { type: "text" };
import metricsSource from "../shaders/queue_metrics.wgsl" with { type: "text" };
import swapSource from "../shaders/queue_swap.wgsl" with { type: "text" };

const floats = d.arrayOf(d.f32);
const indices = d.arrayOf(d.u32);
const labels = d.arrayOf(d.i32);

const ChooseParams = d.struct({ rows: d.u32, k: d.u32 }).$name("Params");
export const chooseRankKernel = defineKernel({
  name: "choose_rank",
  source: chooseSource,
  params: ChooseParams,
  layout: tgpu.bindGroupLayout({
    params: { uniform: ChooseParams },
    uniforms: { storage: floats },
    choice: { storage: indices, access: "mutable" },
  }),
});

const SwapParams = d.struct({ rows: d.u32, columns: d.u32, k: d.u32, batch: d.u32 }).$name("Params");
export const queueSwapKernel = defineKernel({
  name: "queue_swap",
  source: swapSource,
  params: SwapParams,
  layout: tgpu.bindGroupLayout({
    params: { uniform: SwapParams },
    indices: { storage: indices },
    similarities: { storage: floats },
    choice: { storage: indices },
    queue: { storage: floats },
    swapped: { storage: floats, access: "mutable" },
    neighbours: { storage: indices, access: "mutable" },
    chosenSimilarities: { storage: floats, access: "mutable" },
  }),
});

const MetricsParams = d.struct({ rows: d.u32, batch: d.u32 }).$name("Params");
export const queueMetricsKernel = defineKernel({
  name: "queue_metrics",
  source: metricsSource,
  params: MetricsParams,
  layout: tgpu.bindGroupLayout({
    params: { uniform: MetricsParams },
    neighbours: { storage: indices },
    similarities: { storage: floats },
    ages: { storage: labels },
    queueClasses: { storage: labels },
    classes: { storage: labels },
    metrics: { storage: floats, access: "mutable" },
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

const AdvanceParams = d.struct({ entries: d.u32, batch: d.u32 }).$name("Params");
export const queueAdvanceKernel = defineKernel({
  name: "queue_advance",
  source: advanceSource,
  params: AdvanceParams,
  layout: tgpu.bindGroupLayout({
    params: { uniform: AdvanceParams },
    pointer: { storage: indices, access: "mutable" },
  }),
});

/** Values of `Neighbours.metrics` by position. */
export const queueMetricNames = ["nnSimilarity", "nnAge", "nnAccuracy"] as const;

/** What a lookup found. */
export interface Neighbours {
  /** The chosen entries as stored, `[R, P]`. */
  readonly swapped: Tensor;
  /** Their slots, `[R]` u32. */
  readonly slots: Tensor;
  /** All k candidates, best first: `[R, k]`. */
  readonly indices: Tensor;
  readonly similarities: Tensor;
  /** `[3]`: mean similarity, mean age, share of neighbours of the same class. */
  readonly metrics: Tensor;
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
    this.entries = device.zeros([length, columns], "f32", `${name}.x`);
    this.samples = device.zeros([length], "i32", `${name}.idx`);
    this.classes = device.zeros([length], "i32", `${name}.cls`);
    this.ages = device.zeros([length], "i32", `${name}.age`);
    this.pointer = device.zeros([1], "u32", `${name}.ptr`);
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
    const [rows = 1, columns = 1] = projections.shape;
    const batch = classes.size;
    const found = nearest(projections, this.entries, {
      k,
      metric: "cosine",
      excludedSimilarity: -1,
      ...(samples ? { exclude: { queryIds: perRow(samples, rows), bankIds: this.samples } } : {}),
      ...(options.oracle ? { sameClass: { queryClasses: perRow(classes, rows), bankClasses: this.classes } } : {}),
    });
    const swapped = program.empty([rows, columns]);
    const slots = program.empty([rows], "u32");
    const chosenSimilarities = program.empty([rows]);
    const metrics = program.empty([queueMetricNames.length]);
    program.dispatch(
      queueSwapKernel,
      { rows, columns, k, batch },
      {
        indices: found.indices,
        similarities: found.similarities,
        choice,
        queue: this.entries,
        swapped,
        neighbours: slots,
        chosenSimilarities,
      },
      [Math.min(4096, Math.ceil((rows * columns) / 64))],
    );
    program.dispatch(
      queueMetricsKernel,
      { rows, batch },
      {
        neighbours: slots,
        similarities: chosenSimilarities,
        ages: this.ages,
        queueClasses: this.classes,
        classes,
        metrics,
      },
      [1],
    );
    return { swapped, slots, indices: found.indices, similarities: found.similarities, metrics };
  }

  /** Stores the projections of view 0, the first B rows, with wrap-around, and ages all entries by B. */
  insert(program: Program, projections: Tensor, samples: Tensor, classes: Tensor): void {
    const batch = samples.size;
    if (batch > this.length)
      throw new OptionError(`queue: a batch of ${batch} does not fit a queue of ${this.length}; use a longer queue`);
    const params = { entries: this.length, batch };
    program.dispatch(
      queueInsertKernel,
      { ...params, columns: this.columns },
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
    );
    program.dispatch(queueAdvanceKernel, params, { pointer: this.pointer }, [1]);
  }
}

/** Uniform choice among k ranks, `[R]` u32, from uniform numbers `[R]`. */
export function chooseRank(uniforms: Tensor, k: number): Tensor {
  const program = uniforms.program;
  const choice = program.empty([uniforms.size], "u32");
  program.dispatch(chooseRankKernel, { rows: uniforms.size, k }, { uniforms, choice }, [Math.ceil(uniforms.size / 64)]);
  return choice;
}

/** Values `[B]` of samples repeated for every view: `[V_g · B]`. */
function perRow(values: Tensor, rows: number): Tensor {
  return concat(new Array<Tensor>(rows / values.size).fill(values), 0);
}

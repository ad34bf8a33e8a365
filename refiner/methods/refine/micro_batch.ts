import {
  type Device,
  type ProgramStats,
  type Readback,
  type RecordedProgram,
  type Tensor,
  Workspace,
} from "../../../engine/index.ts";
import { sumArena } from "../../exchange/arena_sum.ts";
import { type Exchange, oneRank, sliceOf } from "../../exchange/exchange.ts";
import { FeatureExchange } from "./feature_exchange.ts";
import { FeatureState, type PartPrograms, recordHeads, recordPart, recordUpdate } from "./micro_batch_programs.ts";
import type { StepSetup } from "./step.ts";

/** Host values of program inputs, by name. */
export type HostInputs = Readonly<Record<string, ArrayLike<number>>>;

/** Host values of one update. */
export interface MicroBatchInputs {
  /**
   * Inputs of the views of images `first … first + count - 1` of the batch, or of this rank's part of it. Called once per pass over the batch, twice in
   * stage 3, and must give the same values both times; arrays may be reused from call to call.
   */
  readonly parts: (first: number, count: number) => HostInputs | Promise<HostInputs>;
  /** Inputs of the other programs: samples, classes, headScalars; in stage 3 encoderScalars; update where top-k is over 1. */
  readonly batch: HostInputs;
}

/** Planned bytes of each program of a micro-batched update. */
export interface MicroBatchMemory {
  readonly programs: readonly { readonly name: string; readonly arenaBytes: number; readonly inputBytes: number }[];
  /** Arenas of the largest encoder program: what the size of the micro-batch decides. */
  readonly partBytes: number;
  /** The arenas that all programs share. */
  readonly arenaBytes: number;
  /** Arenas and inputs of all programs together, which exist at once. */
  readonly totalBytes: number;
  /** Pooled features of the whole batch, which their gradients take the place of. */
  readonly featureBytes: number;
}

type Work = Pick<ProgramStats, "flops" | "dispatches">;
type AnyProgram = RecordedProgram<Record<string, Tensor>>;

/**
 * One update in exact micro-batches (three passes: encode all parts, heads on the whole batch, encode again with gradients).
 * Gives the numbers of one big batch up to the order of summation, with the activation memory of one part. With several ranks
 * each encodes its part of the batch, and every head sees the whole batch where it lives.
 */
export class MicroBatchStep {
  readonly #state: FeatureState;
  /** Set where there are several ranks. */
  readonly #travel: FeatureExchange | undefined;
  /** Of the batch that this process encodes. */
  readonly #images: number;
  readonly #workspace: Workspace;
  /** By part size: the full one, and that of a smaller last part. */
  readonly #parts = new Map<number, PartPrograms>();
  readonly #heads: AnyProgram;
  readonly #update: AnyProgram | undefined;

  /**
   * @param part - images per micro-batch; the last one is smaller where it does not divide the batch
   * @throws OptionError if the part is larger than the batch
   */
  constructor(
    readonly setup: StepSetup,
    readonly part: number,
    readonly exchange: Exchange = oneRank,
    /** With fixed parts, images that are under way at once: the host waits for the device behind so many. Default: all. */
    readonly inFlight = setup.loss.layout.batch,
  ) {
    const { model, loss } = setup;
    const { count } = sliceOf(loss.layout.batch, exchange);
    const own = exchange.size === 1 ? setup : { ...setup, loss: { ...loss, layout: { ...loss.layout, batch: count } } };
    this.#images = count;
    this.#state = new FeatureState(own);
    this.#travel =
      exchange.size === 1
        ? undefined
        : new FeatureExchange(model, exchange, this.#state, new FeatureState(setup, model.names));
    this.#workspace = new Workspace(model.device);
    const workspace = this.#workspace;
    for (const size of [part, count % part])
      if (size > 0) this.#parts.set(size, recordPart(own, { features: this.#state, workspace }, size));
    this.#heads = recordHeads(setup, { features: this.#travel?.whole ?? this.#state, workspace });
    this.#update = setup.encoder && recordUpdate(setup, setup.encoder, this.#heads.outputs, this.#workspace);
    setup.parts?.tree?.recordAll();
  }

  /** All programs of an update. */
  get programs(): readonly AnyProgram[] {
    const parts = [...this.#parts.values()].flatMap(({ encode, backward }) =>
      backward ? [encode, backward] : [encode],
    );
    const sums = this.setup.parts?.tree?.programs ?? [];
    return [...parts, ...sums, this.#heads, ...(this.#update ? [this.#update] : [])];
  }

  /** Outputs that `run` can read. */
  get outputs(): Readonly<Record<string, Tensor>> {
    return (this.#update ?? this.#heads).outputs;
  }

  /** Planned memory, without allocating. */
  get memory(): MicroBatchMemory {
    const programs = this.programs.map(({ program, stats }) => ({
      name: program.name,
      arenaBytes: stats.plannedPeakBytes,
      inputBytes: stats.inputBytes,
    }));
    const encoders = [...this.#parts.values()].flatMap(({ encode, backward }) => [encode, backward ?? encode]);
    return {
      programs,
      partBytes: Math.max(...encoders.map(({ stats }) => stats.plannedPeakBytes)),
      arenaBytes: this.#workspace.sizeBytes,
      totalBytes: programs.reduce((sum, { inputBytes }) => sum + inputBytes, this.#workspace.sizeBytes),
      featureBytes: this.#state.sizeBytes + (this.#travel?.whole.sizeBytes ?? 0),
    };
  }

  /** Floating-point operations of one update, as the operations state them. */
  get flops(): number {
    return this.#perUpdate(({ flops }) => flops);
  }

  /** Kernel launches of one update. */
  get dispatches(): number {
    return this.#perUpdate(({ dispatches }) => dispatches);
  }

  #perUpdate(of: (stats: Work) => number): number {
    const { images, heads, update } = this.shares;
    return of(images) + of(heads) + of(update);
  }

  /** Operations and launches of one update by what they are for, of which ranks have their share. */
  get shares(): Readonly<Record<"images" | "heads" | "update", Work>> {
    const parts = [...this.#parts].map(([size, { encode, backward }]) => {
      const times = size === this.part ? Math.floor(this.#images / size) : 1;
      const of = (what: keyof Work): number => times * (encode.stats[what] + (backward?.stats[what] ?? 0));
      return { flops: of("flops"), dispatches: of("dispatches") };
    });
    return {
      images: {
        flops: parts.reduce((sum, { flops }) => sum + flops, 0),
        dispatches: parts.reduce((sum, { dispatches }) => sum + dispatches, 0),
      },
      heads: this.#heads.stats,
      update: this.#update?.stats ?? { flops: 0, dispatches: 0 },
    };
  }

  /** Allocates the arenas and compiles all kernels. @throws OutOfMemoryError, ValidationError */
  async compile(): Promise<void> {
    await Promise.all(this.programs.map((program) => program.compile()));
  }

  /**
   * Submits one whole update.
   *
   * @param read - outputs to copy to the host, in one read-back at the end of the update
   * @returns once submitted; `read` of the result waits
   * @throws OptionError, ShapeError, DTypeError, NonFiniteError, DeviceLostError
   */
  async run(inputs: MicroBatchInputs, read: readonly string[] = ["metrics"]): Promise<Readback<string>> {
    const last = this.#update ?? this.#heads;
    await this.#pass(inputs, ({ encode }) => encode);
    await this.#travel?.gather();
    const { heads, encoder } = this.setup;
    if (this.#update) {
      await this.#heads.run(inputsOf(this.#heads, inputs.batch));
      await heads.finish();
      await this.#travel?.scatter();
      const tree = this.setup.parts?.tree;
      await this.#pass(
        inputs,
        ({ backward }) => backward,
        (part) => tree?.add(part),
      );
      if (tree) await tree.share(this.exchange);
      else if (encoder && this.#travel) await sumArena(encoder.optimizer.gradients, this.exchange);
    }
    const readback = await last.run(inputsOf(last, inputs.batch), read);
    await (encoder?.optimizer ?? heads).finish();
    return readback;
  }

  async #pass(
    inputs: MicroBatchInputs,
    choose: (programs: PartPrograms) => AnyProgram | undefined,
    after?: (part: number) => Promise<void> | undefined,
  ): Promise<void> {
    const { device } = this.setup.model;
    const images = this.#images;
    for (let first = 0; first < images; first += this.part) {
      const count = Math.min(this.part, images - first);
      const programs = this.#parts.get(count);
      const program = programs && choose(programs);
      if (program) await program.run({ ...(await inputs.parts(first, count)), first: Uint32Array.of(first) });
      await after?.(first / this.part);
      const done = first + count;
      if (this.setup.parts && done < images && done % this.inFlight === 0) await submittedWorkDone(device);
    }
  }

  /** Frees the arenas until the next update; its inputs go on from what it was given. */
  release(): void {
    for (const program of this.programs) program.release();
  }

  /** Frees the arenas and the features; parameters and queues stay. */
  destroy(): void {
    for (const program of this.programs) program.destroy();
    this.#state.destroy();
    this.#travel?.whole.destroy();
  }
}

/** Uploads of parts that the device has not reached take memory, too. */
async function submittedWorkDone({ gpu, waits }: Device): Promise<void> {
  await waits.during(gpu.queue.onSubmittedWorkDone());
}

/** The values that a program asks for among those of the whole update. */
function inputsOf({ program }: AnyProgram, values: HostInputs): HostInputs {
  return Object.fromEntries(Object.entries(values).filter(([name]) => program.inputs.has(name)));
}

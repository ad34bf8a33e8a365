import { recordEarly } from "../../engine/core/early_recording.ts";
import {
  Arena,
  accumulate,
  arenaBlockElements,
  type Device,
  fillState,
  type GradientNorm,
  gradientNorm,
  type Program,
  type Tensor,
} from "../../engine/index.ts";
import { sharedSpans } from "./offload/arena_spans.ts";
import { HostArena } from "./offload/host_arena.ts";
import { recordSpan, type SpanTables, type UpdatedState } from "./offload/span_step.ts";
import { type StagingRoom, type StateArena, StreamedStep, type StreamedWork } from "./offload/streamed_step.ts";
import type { WorkingWeights } from "./offload/working_weights.ts";
import { isDecayed as isDecayedByDefault } from "./schedule.ts";

/** Learning-rate scale and weight decay of one parameter. */
export interface ParameterGroup {
  readonly learningRateScale: number;
  readonly weightDecay: number;
}

/** Weight decay and learning-rate factors that a stage gives its parameters. */
export interface GroupOptions {
  readonly weightDecay: number;
  /** Factor by parameter name; 0 freezes it. Default 1. */
  readonly scaleOf?: (name: string) => number;
  /** Which parameters the weight decay is for; default: those of refining and pre-training. */
  readonly isDecayed?: (name: string, shape: readonly number[]) => boolean;
}

/** State of a step that lies on the host. */
export interface OffloadedState {
  /** Whether the moments do; an average does where its arena is a host's. */
  readonly moments: boolean;
  readonly room: StagingRoom;
  /** Set where the parameters do, too. */
  readonly weights?: WorkingWeights | undefined;
}

/** AdamW over one arena: gradients, moments and the table of parameter groups. What is frozen has neither. */
export class ArenaOptimizer {
  /** Of the parameters that are trained, in their order. */
  readonly gradients: Arena;
  readonly firstMoment: StateArena;
  readonly secondMoment: StateArena;
  readonly #groups: Tensor;
  readonly #spans: readonly SpanTables[];
  /** Group of each parameter, by name. */
  readonly groups: ReadonlyMap<string, ParameterGroup>;
  #streamed: StreamedStep | undefined;

  /** @param offloaded - what lies on the host; {@link finish} is then to be called after the program with the step has run */
  constructor(
    readonly parameters: Arena,
    options: GroupOptions,
    readonly offloaded?: OffloadedState,
  ) {
    const isDecayed = options.isDecayed ?? isDecayedByDefault;
    this.groups = new Map(
      parameters.entries.map(({ name, shape }): [string, ParameterGroup] => [
        name,
        {
          learningRateScale: options.scaleOf?.(name) ?? 1,
          weightDecay: isDecayed(name, shape) ? options.weightDecay : 0,
        },
      ]),
    );
    this.gradients = trainedLike(parameters, new Set(this.trained), `${parameters.name} gradients`);
    const momentsLike = (name: string): StateArena =>
      offloaded?.moments ? new HostArena(this.gradients, name) : this.gradients.like(name);
    this.firstMoment = momentsLike(`${parameters.name} first moments`);
    this.secondMoment = momentsLike(`${parameters.name} second moments`);
    const { table, blocks } = groupTables(this.gradients, this.groups);
    const { device } = parameters;
    this.#groups = device.tensor(table, [table.length / 2, 2], "f32", "parameter groups");
    this.#spans = sharedSpans(parameters, this.gradients).map((span) => {
      const [first, end] = [span.part.from / arenaBlockElements, span.part.to / arenaBlockElements];
      const list = blocks[span.part.chunk]?.subarray(first, end) ?? new Uint32Array();
      return { ...span, blockGroups: device.tensor(list, [list.length], "u32", "block groups") };
    });
  }

  get device(): Device {
    return this.parameters.device;
  }

  /** Frees the gradients until the next update, which writes them anew. */
  release(): void {
    this.gradients.destroy();
    this.#streamed?.release();
  }

  /** Frees gradients and moments; the parameters stay. */
  destroy(): void {
    for (const arena of [this.gradients, this.firstMoment, this.secondMoment]) arena.destroy();
    for (const table of [this.#groups, ...this.#spans.map((span) => span.blockGroups)]) table.destroy();
    this.#streamed?.destroy();
  }

  /** Names of the parameters that are trained. */
  get trained(): string[] {
    return [...this.groups].filter(([, group]) => group.learningRateScale > 0).map(([name]) => name);
  }

  /** Records "gradient arena ← gradients" for the trained parameters, in their order; or that of a part. */
  assign(program: Program, gradients: readonly Tensor[], arena = this.gradients): void {
    this.trained.forEach((name, i) => {
      const gradient = gradients[i];
      if (gradient) program.assign(arena.get(name), gradient);
    });
  }

  /**
   * Records "gradient arena += gradients" for the trained parameters, in their order, each as soon as its gradient is known:
   * otherwise a program would hold the gradients of all parameters at once.
   */
  accumulate(program: Program, gradients: readonly Tensor[]): void {
    recordEarly(program, () => {
      this.trained.forEach((name, i) => {
        const gradient = gradients[i];
        if (gradient) accumulate(program, this.gradients.get(name), gradient);
      });
    });
  }

  /** Records "gradient arena ← 0". */
  clear(program: Program): void {
    for (const chunk of this.gradients.chunks) fillState(program, chunk, 0);
  }

  /**
   * Records one step, with the moving average if its arena is given. Where some of its state lies on the host, the program keeps
   * the scalars, and {@link finish} makes the step.
   */
  step(program: Program, scalars: Tensor, average?: StateArena): void {
    const { gradients, firstMoment, secondMoment, offloaded } = this;
    const working = offloaded?.weights;
    const parameters = working?.masters ?? this.parameters;
    const state = { parameters, gradients, firstMoment, secondMoment, ...(average ? { average } : {}) };
    const updated: UpdatedState = {
      ...state,
      groups: this.#groups,
      spans: this.#spans,
      ...(working ? { working } : {}),
    };
    if (offloaded && [parameters, firstMoment, average].some((arena) => arena instanceof HostArena)) {
      this.#streamed = new StreamedStep(updated, offloaded.room);
      program.assign(this.#streamed.scalars, scalars);
    } else for (const span of this.#spans) recordSpan(program, updated, span, scalars);
  }

  /** Records what reads the parameters as the step left them. */
  afterStep(program: Program, record: (program: Program) => void): void {
    if (this.#streamed) this.#streamed.after(record);
    else record(program);
  }

  /** Makes the step of a program that has run, where its state lies on the host; else the program has made it. */
  async finish(): Promise<void> {
    await this.#streamed?.run();
  }

  /** Planned work of {@link finish}; none where the program makes the step. */
  get streamedWork(): StreamedWork {
    return this.#streamed?.work ?? { bytes: 0, dispatches: 0, flops: 0 };
  }

  /** Records the global norm of all gradients and the number of those that are not finite. */
  gradientNorm(program: Program): GradientNorm {
    return gradientNorm(program, this.gradients.chunks);
  }

  /** State that a resumed run needs, by name. */
  get state(): { readonly firstMoment: StateArena; readonly secondMoment: StateArena } {
    return { firstMoment: this.firstMoment, secondMoment: this.secondMoment };
  }
}

/** An arena of what is trained; of everything where nothing is, since a norm needs at least one tensor. */
function trainedLike(parameters: Arena, trained: ReadonlySet<string>, name: string): Arena {
  const entries = parameters.entries.filter((entry) => trained.has(entry.name));
  return new Arena(parameters.device, name, entries.length > 0 ? entries : parameters.entries);
}

function groupTables(
  arena: Arena,
  groups: ReadonlyMap<string, ParameterGroup>,
): { table: Float32Array; blocks: Uint32Array[] } {
  const rows: ParameterGroup[] = [];
  const blocks = arena.chunks.map((chunk) => new Uint32Array(chunk.size / arenaBlockElements));
  for (const [name, group] of groups) {
    if (!arena.has(name)) continue;
    const known = rows.findIndex(
      (row) => row.learningRateScale === group.learningRateScale && row.weightDecay === group.weightDecay,
    );
    const row = known >= 0 ? known : rows.push(group) - 1;
    const place = arena.placeOf(name);
    blocks[place.chunk]?.fill(row, place.firstBlock, place.firstBlock + place.blocks);
  }
  if (rows.length === 0) rows.push({ learningRateScale: 1, weightDecay: 0 }); // an arena without tensors needs a table, too
  const table = Float32Array.from(
    rows.flatMap(({ learningRateScale, weightDecay }) => [learningRateScale, weightDecay]),
  );
  return { table, blocks };
}

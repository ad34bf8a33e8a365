import { viewRows } from "../../../engine/core/tensor.ts";
import {
  arenaBlockElements,
  type Device,
  OptionError,
  type Program,
  type RecordedProgram,
  recordProgram,
  StagingSlot,
  stepScalarCount,
  type Tensor,
} from "../../../engine/index.ts";
import { pieceElements } from "./arena_pieces.ts";
import { within } from "./arena_spans.ts";
import { HostArena } from "./host_arena.ts";
import { hostArraysOf, recordSpan, type SpanTables, type UpdatedState } from "./span_step.ts";

export type { StateArena } from "./span_step.ts";

const slotCount = 2; // one on its way to or from the host while the other is worked on

/** Device memory that offloaded state passes through, for several steps in turn. */
export class StagingRoom {
  readonly slots: readonly StagingSlot[];
  /** Of one array at once. */
  readonly pieceElements: number;

  /**
   * @param arrays - of one step at most: 2 for the moments, 1 for an average, 1 for weights
   * @param largest - elements of the largest chunk of any arena
   */
  constructor(device: Device, arrays: number, largest: number) {
    this.pieceElements = pieceElements(largest);
    const elements = Math.min(this.pieceElements, largest);
    this.slots = Array.from({ length: slotCount }, () => new StagingSlot(device, arrays, elements));
  }

  /** The slot of a piece: each waits for another one than the piece before it. */
  slot(piece: number): StagingSlot {
    const slot = this.slots[piece % this.slots.length];
    if (!slot) throw new OptionError("the room for offloaded state has no slot; make one");
    return slot;
  }

  /** On the device. */
  get sizeBytes(): number {
    return this.slots.reduce((sum, slot) => sum + slot.sizeBytes, 0);
  }

  /** Frees the memory once nothing is on its way back any more. */
  async destroy(): Promise<void> {
    for (const slot of this.slots) await slot.destroy();
  }
}

/** Work beside that of the program that a step belongs to. */
export interface StreamedWork {
  /** That go to the device; as many come back. */
  readonly bytes: number;
  readonly dispatches: number;
  readonly flops: number;
}

interface Piece {
  readonly slot: StagingSlot;
  readonly bytes: number;
  /** Values on the host, in the order of the slot's tensors. */
  readonly host: () => Float32Array[];
  readonly program: RecordedProgram<Record<string, Tensor>>;
}

/**
 * AdamW whose state lies on the host: piece by piece it is uploaded, updated and read back, each in one of two slots. The arithmetic
 * is elementwise, so that the bits are those of one launch over everything.
 */
export class StreamedStep {
  /** State that holds the scalars of the step (see `stepScalars`): to be assigned before {@link run}. */
  readonly scalars: Tensor;
  readonly #host: readonly HostArena[];
  readonly #pieces: Piece[] = [];
  readonly #after: RecordedProgram<Record<string, Tensor>>[] = [];

  constructor(
    readonly state: UpdatedState,
    readonly room: StagingRoom,
  ) {
    this.scalars = state.gradients.device.zeros([stepScalarCount], "f32", "step scalars");
    this.#host = hostArraysOf(state).map(({ arena }) => arena);
    for (const span of state.spans) {
      const size = span.part.to - span.part.from;
      for (let from = 0; from < size; from += room.pieceElements)
        this.#record(span, from, Math.min(size, from + room.pieceElements));
    }
  }

  #record({ whole, part, blockGroups }: SpanTables, from: number, to: number): void {
    const { state, room } = this;
    const slot = room.slot(this.#pieces.length);
    const piece = {
      whole: within(whole, from, to),
      part: within(part, from, to),
      blockGroups: viewRows(blockGroups, from / arenaBlockElements, to / arenaBlockElements),
    };
    const arrays = hostArraysOf(state);
    const staged = new Map(arrays.map(({ arena }, i) => [arena, slot.tensors[i]]));
    const host = () =>
      arrays.map(({ arena, of }) => arena.chunk(piece[of].chunk).subarray(piece[of].from, piece[of].to));
    const record = (program: Program) => {
      recordSpan(program, state, piece, this.scalars, staged);
      const masters = state.parameters instanceof HostArena ? staged.get(state.parameters) : undefined;
      if (masters) state.working?.update(program, piece.whole, viewRows(masters, 0, to - from));
      return {};
    };
    const program = recordProgram<Record<string, Tensor>>(state.gradients.device, record, {
      name: `step ${state.gradients.name}`,
    });
    this.#pieces.push({ slot, host, program, bytes: 4 * arrays.length * (to - from) });
  }

  /** Records what is to follow each step. */
  after(record: (program: Program) => void): void {
    const build = (program: Program) => {
      record(program);
      return {};
    };
    this.#after.push(recordProgram<Record<string, Tensor>>(this.scalars.device, build, { name: "after the step" }));
  }

  /** What one step takes. */
  get work(): StreamedWork {
    const programs = [...this.#pieces.map((piece) => piece.program), ...this.#after].map(({ stats }) => stats);
    return {
      bytes: this.#pieces.reduce((sum, { bytes }) => sum + bytes, 0),
      dispatches: programs.reduce((sum, { dispatches }) => sum + dispatches, 0),
      flops: programs.reduce((sum, { flops }) => sum + flops, 0),
    };
  }

  /** Submits a step. The host's values are whole once the arenas are settled. @throws DeviceLostError */
  async run(): Promise<void> {
    for (const { slot, host, program } of this.#pieces) {
      await slot.free();
      const pieces = host();
      slot.upload(pieces);
      await program.run();
      slot.download(pieces);
    }
    const returned = Promise.all(this.room.slots.map((slot) => slot.free()));
    for (const arena of this.#host) arena.follow(returned);
    for (const program of this.#after) await program.run();
  }

  /** Frees what the programs hold until the next step. */
  release(): void {
    for (const program of [...this.#pieces.map((piece) => piece.program), ...this.#after]) program.release();
  }

  /** Frees the programs; the state stays. */
  destroy(): void {
    for (const program of [...this.#pieces.map((piece) => piece.program), ...this.#after]) program.destroy();
    this.scalars.destroy();
  }
}

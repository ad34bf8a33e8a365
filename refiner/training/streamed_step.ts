import { viewRows } from "../../engine/core/tensor.ts";
import {
  type AdamWOperands,
  type Arena,
  adamW,
  arenaBlockElements,
  type Device,
  OptionError,
  type Program,
  type RecordedProgram,
  recordProgram,
  StagingSlot,
  stepScalarCount,
  type Tensor,
} from "../../engine/index.ts";
import { pieceElements } from "./arena_pieces.ts";
import { HostArena } from "./host_arena.ts";

/** State of an arena's layout, on the device or on the host. */
export type StateArena = Arena | HostArena;

const slotCount = 2; // one on its way to or from the host while the other is worked on

/** Device memory that offloaded state passes through, for several steps in turn. */
export class StagingRoom {
  readonly slots: readonly StagingSlot[];
  /** Of one array at once. */
  readonly pieceElements: number;

  /**
   * @param arrays - of one step at most: 2 for the moments, 1 for an average
   * @param largest - elements of the largest chunk of any arena
   */
  constructor(device: Device, arrays: number, largest: number) {
    this.pieceElements = pieceElements(largest);
    const elements = Math.min(this.pieceElements, largest);
    this.slots = Array.from({ length: slotCount }, () => new StagingSlot(device, arrays, elements));
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

/** What AdamW works on beside parameters and gradients, some of it on the host. */
export interface StreamedState {
  readonly parameters: Arena;
  readonly gradients: Arena;
  readonly firstMoment: StateArena;
  readonly secondMoment: StateArena;
  readonly average?: StateArena;
  readonly groups: Tensor;
  readonly blockGroups: readonly Tensor[];
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
    readonly state: StreamedState,
    readonly room: StagingRoom,
  ) {
    const { parameters, firstMoment, secondMoment, average } = state;
    this.scalars = parameters.device.zeros([stepScalarCount], "f32", "step scalars");
    this.#host = [firstMoment, secondMoment, average].filter((arena) => arena instanceof HostArena);
    parameters.chunks.forEach(({ size }, chunk) => {
      for (let from = 0; from < size; from += room.pieceElements)
        this.#record(chunk, from, Math.min(size, from + room.pieceElements));
    });
  }

  #record(chunk: number, from: number, to: number): void {
    const { parameters, groups } = this.state;
    const slot = this.room.slots[this.#pieces.length % this.room.slots.length];
    if (!slot)
      throw new OptionError(`${this.state.parameters.name}: the room for offloaded state has no slot; make one`);
    const staged = new Map(this.#host.map((arena, i) => [arena, slot.tensors[i]]));
    const host = () => this.#host.map((arena) => arena.chunk(chunk).subarray(from, to));
    const part = (arena: StateArena | undefined): Tensor | undefined => {
      const tensor = arena instanceof HostArena ? staged.get(arena) : arena?.chunks[chunk];
      return tensor && (arena instanceof HostArena ? viewRows(tensor, 0, to - from) : viewRows(tensor, from, to));
    };
    const table = this.state.blockGroups[chunk];
    const average = part(this.state.average);
    const operands = {
      parameters: part(parameters),
      gradients: part(this.state.gradients),
      firstMoment: part(this.state.firstMoment),
      secondMoment: part(this.state.secondMoment),
      blockGroups: table && viewRows(table, from / arenaBlockElements, to / arenaBlockElements),
      groups,
      scalars: this.scalars,
      ...(average ? { average } : {}),
    };
    if (!isComplete(operands)) {
      const missing = Object.entries(operands).flatMap(([name, x]) => (x === undefined ? [name] : []));
      throw new OptionError(
        `${parameters.name}: chunk ${chunk} has no ${missing.join(", ")}; state has the layout of its parameters`,
      );
    }
    const record = (program: Program) => {
      adamW(program, operands);
      return {};
    };
    const program = recordProgram<Record<string, Tensor>>(parameters.device, record, {
      name: `step ${parameters.name}`,
    });
    this.#pieces.push({ slot, host, program });
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
      bytes: this.#host.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
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

  /** Frees the programs; the state stays. */
  destroy(): void {
    for (const program of [...this.#pieces.map((piece) => piece.program), ...this.#after]) program.destroy();
    this.scalars.destroy();
  }
}

function isComplete(operands: Partial<AdamWOperands>): operands is AdamWOperands {
  return Object.values(operands).every((x) => x !== undefined);
}

import { type Launched, LauncherError } from "./launcher_node.ts";
import { type MpiFunction, MpiLibrary } from "./mpi_library_node.ts";

export interface MpiWorldOptions {
  /** `MPI_LIB` */
  readonly library?: string | undefined;
  /** How long a rank waits for others. */
  readonly patienceMs: number;
  /** Called when that is over; ends the process. */
  readonly onStall: (text: string) => void;
}

/** Texts up to this many bytes take one collective, longer ones two. */
const shortBytes = 248;
const headerBytes = 8;
/** Counts of MPI are 32-bit integers; pieces this large lose nothing. */
const mostBytes = 2 ** 30;

type Floats = Float32Array<ArrayBuffer>;
type Bytes = Uint8Array<ArrayBuffer>;

/**
 * The ranks of an MPI job, as `Exchange` of `refiner` has them. Collectives run in a thread, one at a time: no JavaScript may touch
 * the arrays until they are done.
 */
export class MpiWorld {
  readonly #functions: ReturnType<typeof functionsOf>;
  /** Of the call under way: the library works on their memory, which must not be collected meanwhile. */
  #held: readonly unknown[] | undefined;

  private constructor(
    readonly library: MpiLibrary,
    readonly rank: number,
    readonly size: number,
    readonly options: MpiWorldOptions,
  ) {
    this.#functions = functionsOf(library);
  }

  /**
   * Loads the library and joins the job.
   *
   * @throws LauncherError where the library does not fit the launcher
   */
  static async open(launched: Launched, options: MpiWorldOptions): Promise<MpiWorld> {
    const library = await MpiLibrary.open(launched.launcher, options.library);
    const { family } = library;
    const provided = Int32Array.of(0);
    const start = library.function("MPI_Init_thread", ["intptr_t", "intptr_t", "int", "void *"]);
    checked("MPI_Init_thread", start(0, 0, family.serialized, provided));
    const setHandler = library.function("MPI_Comm_set_errhandler", ["handle", "handle"]);
    checked("MPI_Comm_set_errhandler", setHandler(library.world, library.handle(family.errorsReturn)));
    const world = new MpiWorld(library, numberFrom(library, "rank"), numberFrom(library, "size"), options);
    if (world.size === launched.size) return world;
    throw new LauncherError(
      `${launched.launcher}: started ${launched.size} ranks, but ${library.path} (${family.name}) knows of ${world.size}: it belongs to another launcher; name the launcher's own library by MPI_LIB`,
    );
  }

  async sum(values: Floats): Promise<void> {
    const { inPlace } = this.library.family;
    const { float, add, world } = this.library;
    await this.#call("MPI_Allreduce", this.#functions.sum, [inPlace, values, values.length, float, add, world]);
  }

  async gather(part: Floats, owner: number): Promise<Floats | undefined> {
    const { family, float, world } = this.library;
    const { length } = part;
    if (this.rank !== owner) {
      await this.#call("MPI_Gather", this.#functions.gatherThere, [part, length, float, 0, 0, float, owner, world]);
      return undefined;
    }
    const all = new Float32Array(new ArrayBuffer(4 * length * this.size));
    all.set(part, owner * length);
    const operands = [family.inPlace, 0, float, all, length, float, owner, world];
    await this.#call("MPI_Gather", this.#functions.gatherHere, operands);
    return all;
  }

  async scatter(length: number, owner: number, all?: Floats): Promise<Floats> {
    const { family, float, world } = this.library;
    if (this.rank === owner && all) {
      const operands = [all, length, float, family.inPlace, length, float, owner, world];
      await this.#call("MPI_Scatter", this.#functions.scatterFrom, operands);
      return all.slice(owner * length, (owner + 1) * length);
    }
    const part = new Float32Array(new ArrayBuffer(4 * length)); // small ones would lie where memory is moved
    await this.#call("MPI_Scatter", this.#functions.scatterTo, [0, 0, float, part, length, float, owner, world]);
    return part;
  }

  async deal(all: Floats): Promise<Floats> {
    const { float, world } = this.library;
    const length = all.length / this.size;
    const dealt = new Float32Array(new ArrayBuffer(all.byteLength));
    await this.#call("MPI_Alltoall", this.#functions.allToAll, [all, length, float, dealt, length, float, world]);
    return dealt;
  }

  async spread(part: Floats): Promise<Floats> {
    const { family, float, world } = this.library;
    const { length } = part;
    const all = new Float32Array(new ArrayBuffer(4 * length * this.size));
    all.set(part, this.rank * length);
    const operands = [family.inPlace, 0, float, all, length, float, world];
    await this.#call("MPI_Allgather", this.#functions.allGather, operands);
    return all;
  }

  async share(text: string, { isPatient = false } = {}): Promise<string[]> {
    const own = new TextEncoder().encode(text);
    const heads = await this.#allOf(headOf(own), isPatient);
    const lengths = heads.map((head) => new DataView(head.buffer, head.byteOffset).getUint32(0));
    const longest = Math.max(...lengths);
    const tails = longest > shortBytes ? await this.#allOf(padded(own, longest)) : undefined;
    return lengths.map((length, i) => {
      const bytes = tails?.[i]?.subarray(0, length) ?? heads[i]?.subarray(headerBytes, headerBytes + length);
      return new TextDecoder().decode(bytes);
    });
  }

  /** The bytes of all ranks, as many of each. */
  async #allOf(own: Bytes, isPatient = false): Promise<Bytes[]> {
    const { family, byte, world } = this.library;
    const { length } = own;
    const all = new Uint8Array(length * this.size);
    all.set(own, this.rank * length);
    const operands = [family.inPlace, 0, byte, all, length, byte, world];
    await this.#call("MPI_Allgather", this.#functions.allGather, operands, isPatient);
    return Array.from({ length: this.size }, (_, rank) => all.subarray(rank * length, (rank + 1) * length));
  }

  async pass(bytes: Bytes, { from, to }: { readonly from: number; readonly to: number }): Promise<void> {
    const { family, byte, world } = this.library;
    if (from === to) return;
    for (let at = 0; at < bytes.length; at += mostBytes) {
      const piece = bytes.subarray(at, at + mostBytes);
      if (this.rank === from)
        await this.#call("MPI_Send", this.#functions.send, [piece, piece.length, byte, to, 0, world]);
      else if (this.rank === to)
        await this.#call("MPI_Recv", this.#functions.receive, [
          ...[piece, piece.length, byte, from, 0, world],
          family.ignoredStatus,
        ]);
    }
  }

  /** One line about the library. */
  get version(): string {
    const text = new Uint8Array(8192);
    const length = Int32Array.of(0);
    checked("MPI_Get_library_version", this.#functions.version(text, length));
    const [line = ""] = new TextDecoder().decode(text.subarray(0, length[0])).split("\n");
    return line.replace(/\0.*/s, "").replace(/\s+/g, " ").trim();
  }

  /** Ends all ranks; does not return where the launcher does its part. */
  abort(code: number): void {
    this.#functions.abort(this.library.world, code);
  }

  /** Leaves the job once all ranks do. */
  finish(): void {
    checked("MPI_Barrier", this.#functions.barrier(this.library.world));
    checked("MPI_Finalize", this.#functions.finalize());
  }

  async #call(name: string, called: MpiFunction, operands: readonly unknown[], isPatient = false): Promise<void> {
    if (this.#held) throw new LauncherError(`${name}: another exchange is under way; await it first`);
    this.#held = operands;
    const { patienceMs, onStall } = this.options;
    const stall = (): void =>
      onStall(
        `${name} has waited for ${Math.round(patienceMs / 1000)} s for other ranks: one of them is stopped or lost; see its machine, and go on with --resume`,
      );
    const timer = isPatient ? undefined : setTimeout(stall, patienceMs);
    try {
      checked(
        name,
        await new Promise<unknown>((resolve, reject) => {
          called.async(...operands, (error: unknown, code: unknown) => (error ? reject(error) : resolve(code)));
        }),
      );
    } finally {
      clearTimeout(timer);
      this.#held = undefined;
    }
  }
}

function functionsOf(library: MpiLibrary) {
  const handle = "handle";
  const [bytes, number] = ["void *", "intptr_t"];
  return {
    sum: library.function("MPI_Allreduce", [number, bytes, "int", handle, handle, handle]),
    gatherHere: library.function("MPI_Gather", [number, "int", handle, bytes, "int", handle, "int", handle]),
    gatherThere: library.function("MPI_Gather", [bytes, "int", handle, number, "int", handle, "int", handle]),
    scatterFrom: library.function("MPI_Scatter", [bytes, "int", handle, number, "int", handle, "int", handle]),
    scatterTo: library.function("MPI_Scatter", [number, "int", handle, bytes, "int", handle, "int", handle]),
    allGather: library.function("MPI_Allgather", [number, "int", handle, bytes, "int", handle, handle]),
    allToAll: library.function("MPI_Alltoall", [bytes, "int", handle, bytes, "int", handle, handle]),
    send: library.function("MPI_Send", [bytes, "int", handle, "int", "int", handle]),
    receive: library.function("MPI_Recv", [bytes, "int", handle, "int", "int", handle, number]),
    barrier: library.function("MPI_Barrier", [handle]),
    abort: library.function("MPI_Abort", [handle, "int"]),
    finalize: library.function("MPI_Finalize", []),
    version: library.function("MPI_Get_library_version", [bytes, bytes]),
  };
}

function numberFrom(library: MpiLibrary, what: "rank" | "size"): number {
  const into = Int32Array.of(0);
  const name = `MPI_Comm_${what}`;
  checked(name, library.function(name, ["handle", "void *"])(library.world, into));
  return into[0] ?? 0;
}

/** @throws LauncherError for an error code */
function checked(name: string, code: unknown): void {
  if (code !== 0) throw new LauncherError(`${name} failed with code ${String(code)}; see what the launcher says`);
}

/** Length and beginning of a text, in bytes. */
function headOf(text: Uint8Array): Bytes {
  const head = new Uint8Array(headerBytes + shortBytes);
  new DataView(head.buffer).setUint32(0, text.length);
  head.set(text.subarray(0, shortBytes), headerBytes);
  return head;
}

function padded(text: Uint8Array, length: number): Bytes {
  const bytes = new Uint8Array(length);
  bytes.set(text);
  return bytes;
}

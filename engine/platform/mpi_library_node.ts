import process from "node:process";
import { LauncherError } from "./launcher_node.ts";
import { familiesFor, familyOf, type MpiFamily } from "./mpi_families.ts";

/** A function of the library. */
export interface MpiFunction {
  (...operands: readonly unknown[]): unknown;
  readonly async: (...operands: readonly unknown[]) => unknown;
}

type Koffi = typeof import("koffi")["default"];
type Loaded = ReturnType<Koffi["load"]>;

/** Stack of calls in threads: MPICH's collectives need more than the 128 KiB that koffi gives. */
const stackBytes = 8 * 2 ** 20;

/** The system's MPI library with the handles of its family. */
export class MpiLibrary {
  readonly world: number | bigint;
  readonly float: number | bigint;
  readonly byte: number | bigint;
  readonly add: number | bigint;

  private constructor(
    readonly family: MpiFamily,
    readonly path: string,
    private readonly library: Loaded,
  ) {
    this.world = this.handle(family.world);
    this.float = this.handle(family.float);
    this.byte = this.handle(family.byte);
    this.add = this.handle(family.add);
  }

  /** The address of an exported object, or the number itself. */
  handle(value: number | string): number | bigint {
    return typeof value === "number" ? value : this.library.symbol(value);
  }

  /** @param operands - C types; `handle` stands for the family's type of handles */
  function(name: string, operands: readonly string[]): MpiFunction {
    const types = operands.map((type) => (type === "handle" ? this.family.handle : type));
    return this.library.func(name, "int", types);
  }

  /**
   * Loads the library that fits the launcher.
   *
   * @param named - `MPI_LIB`: a path or name to take instead
   * @throws LauncherError where none can be loaded
   */
  static async open(launcher: string, named: string | undefined): Promise<MpiLibrary> {
    process.env.UCX_HANDLE_ERRORS ??= "none"; // its signal handlers would take over Node's
    const { default: koffi } = await import("koffi");
    koffi.config({ async_stack_size: stackBytes }); // before anything is loaded
    const candidates = named === undefined ? familiesFor(launcher).flatMap(({ libraries }) => libraries) : [named];
    const reasons: string[] = [];
    for (const path of candidates) {
      const loaded = tried(() => koffi.load(path, { global: true }), reasons);
      if (loaded)
        return new MpiLibrary(
          familyOf(path, (symbol) => has(loaded, symbol)),
          path,
          loaded,
        );
    }
    throw new LauncherError(
      `${launcher}: no MPI library could be loaded (${reasons[0] ?? "none was tried"}); install the launcher's own (packages libopenmpi3 or libmpich12), or name it by MPI_LIB`,
    );
  }
}

function tried(load: () => Loaded, reasons: string[]): Loaded | undefined {
  try {
    return load();
  } catch (error) {
    reasons.push(error instanceof Error ? error.message : String(error));
    return undefined;
  }
}

function has(library: Loaded, symbol: string): boolean {
  try {
    library.symbol(symbol);
    return true;
  } catch {
    return false; // that is the question
  }
}

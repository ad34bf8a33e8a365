/** How the MPI libraries of one family name predefined objects. */
export interface MpiFamily {
  readonly name: "Open MPI" | "MPICH" | "standard ABI";
  /** Shared libraries to try, best first. */
  readonly libraries: readonly string[];
  /** C type of handles. */
  readonly handle: "int" | "intptr_t";
  /** Values of handles, or names of exported objects whose addresses they are. */
  readonly world: number | string;
  readonly float: number | string;
  readonly byte: number | string;
  readonly add: number | string;
  readonly errorsReturn: number | string;
  /** `MPI_IN_PLACE` and `MPI_STATUS_IGNORE`, as integers. */
  readonly inPlace: number;
  readonly ignoredStatus: number;
  readonly serialized: number;
}

/** Handles are addresses of exported objects (`mpi.h` of versions 1.10 … 5). */
const openMpi: MpiFamily = {
  name: "Open MPI",
  libraries: ["libmpi.so.40", "libmpi.so.80", "libmpi.so"],
  handle: "intptr_t",
  world: "ompi_mpi_comm_world",
  float: "ompi_mpi_float",
  byte: "ompi_mpi_byte",
  add: "ompi_mpi_op_sum",
  errorsReturn: "ompi_mpi_errors_return",
  inPlace: 1,
  ignoredStatus: 0,
  serialized: 2,
};

/** Handles are 32-bit integers, the same in all libraries of the common ABI (MPICH, Intel MPI, MVAPICH, Cray MPICH). */
const mpich: MpiFamily = {
  name: "MPICH",
  libraries: ["libmpich.so.12", "libmpi.so.12", "libmpi_cray.so.12", "libmpich.so"],
  handle: "int",
  world: 0x44000000,
  float: 0x4c00040a,
  byte: 0x4c00010d,
  add: 0x58000003,
  errorsReturn: 0x54000001,
  inPlace: -1,
  ignoredStatus: 1,
  serialized: 2,
};

/** MPI 5.0, chapter 20: small numbers in a pointer's place. */
const standard: MpiFamily = {
  name: "standard ABI",
  libraries: ["libmpi_abi.so.0", "libmpi_abi.so"],
  handle: "intptr_t",
  world: 0x101,
  float: 0x210,
  byte: 0x247,
  add: 0x21,
  errorsReturn: 0x143,
  inPlace: 1,
  ignoredStatus: 0,
  serialized: 2048,
};

/** The families to try for a launcher, likely ones first. */
export function familiesFor(launcher: string): readonly MpiFamily[] {
  return launcher === "Open MPI" ? [openMpi, standard] : [mpich, standard, openMpi];
}

/** What a loaded library is, by its name and what it exports. */
export function familyOf(path: string, exports: (symbol: string) => boolean): MpiFamily {
  if (/libmpi_abi\b/.test(path)) return standard;
  return exports(String(openMpi.world)) ? openMpi : mpich;
}

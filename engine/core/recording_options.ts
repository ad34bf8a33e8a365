import type { Declarations, Kernel } from "./kernel.ts";

export interface DispatchOptions {
  /** The operation that launches a kernel which several share, for errors. */
  readonly operation?: string;
  /** Values of pipeline overrides. */
  readonly constants?: Readonly<Record<string, number>>;
  /** Values of declared constants and aliases in the shader text. */
  readonly declarations?: Declarations;
  /** Floating-point operations, for the statistics. */
  readonly flops?: number;
  /** Bytes that the kernel touches of operands which it does not use as a whole, by name, for the statistics. */
  readonly touchedBytes?: Readonly<Record<string, number>>;
  /** A kernel that computes `output` over the memory of `operand`, used where that operand is not needed afterwards. */
  readonly inPlace?: { readonly kernel: Kernel; readonly output: string; readonly operand: string };
}

export interface ProgramOptions {
  readonly name?: string;
  /** Recorded by free functions outside of an explicit program. */
  readonly eager?: boolean;
  /** No gradient will be asked for, so ops keep nothing for a backward pass. */
  readonly inference?: boolean;
}

export interface Recorded {
  /** Place among all that was recorded on the device, also by other programs; later ones are larger. */
  readonly order: number;
}

import { ValidationError } from "../core/errors.ts";

/** A text holds what the front end of kernels does not know; the message names it and its line. */
export class WgslError extends ValidationError {
  constructor(
    readonly line: number,
    reason: string,
  ) {
    super(`WGSL line ${line}: ${reason}`);
  }
}

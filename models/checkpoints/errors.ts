import { EngineError } from "../../engine/index.ts";

/** A file was read, and no encoder that can be used was recognised in it. */
export class UnknownModelError extends EngineError {}

/** An encoder was recognised, but tensors are missing, of another shape, or left over. */
export class IncompleteWeightsError extends EngineError {
  constructor(
    message: string,
    readonly missing: readonly string[],
    readonly leftOver: readonly string[],
  ) {
    super(message);
  }
}

/** Base of every error that the engine raises on purpose; `name` is the class name. */
export class EngineError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = new.target.name;
  }
}

/** A shape that an operation cannot work with. */
export class ShapeError extends EngineError {}
/** A data type that an operation cannot work with. */
export class DTypeError extends EngineError {}
/** A tensor with the wrong number of axes. */
export class RankError extends ShapeError {}
/** An axis outside `-rank … rank - 1`, or named twice. */
export class AxisError extends ShapeError {}
/** An index in data that lies outside the table it points into. */
export class IndexError extends EngineError {}
/** An option with a value that is not allowed. */
export class OptionError extends EngineError {}
/** No adapter could be opened. */
export class NoAdapterError extends EngineError {}
/** A feature such as `shader-f16` that the device lacks. */
export class MissingFeatureError extends EngineError {}
/** A size above a limit of the device. */
export class OverLimitError extends EngineError {}
/** The device ran out of memory. */
export class OutOfMemoryError extends EngineError {}
/** The device refused a shader, pipeline or command. */
export class ValidationError extends EngineError {}
/** The device was lost or destroyed. */
export class DeviceLostError extends EngineError {}
/** Tensors of two different recorded programs met in one operation. */
export class ProgramMixError extends EngineError {}
/** Tensors of two different devices met in one operation. */
export class DeviceMixError extends EngineError {}
/** A kernel wrote outside of its tensors; found in canary mode. */
export class OutOfBoundsError extends EngineError {}
/** A tensor was read after the planner gave its memory to another one, or before it was computed. */
export class ReusedTensorError extends EngineError {}
/** A gradient would have to pass an operation that states none. */
export class NoGradientError extends EngineError {}
/** A NaN or an infinity where only finite numbers are allowed. */
export class NonFiniteError extends EngineError {}

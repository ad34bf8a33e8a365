import { EngineError } from "../core/errors.ts";

/** What is wrong with a file, for callers that react differently to each case. */
export type CheckpointErrorKind = "truncated" | "corrupt" | "foreign" | "empty" | "forbidden" | "missing";

/** Base of every error about the content of a file. */
export class CheckpointError extends EngineError {
  readonly kind: CheckpointErrorKind;
  constructor(kind: CheckpointErrorKind, message: string, options?: ErrorOptions) {
    super(message, options);
    this.kind = kind;
  }

  /** The same error with the file's name in front of its message. */
  inFile(name: string): this {
    if (!this.message.startsWith(`${name}: `)) this.message = `${name}: ${this.message}`;
    return this;
  }
}

/** The file ends before the data that it declares. */
export class TruncatedFileError extends CheckpointError {
  constructor(message: string) {
    super("truncated", message);
  }
}

/** The file has a known format and contradicts itself. */
export class CorruptFileError extends CheckpointError {
  constructor(message: string, options?: ErrorOptions) {
    super("corrupt", message, options);
  }
}

/** The file is of another format, or uses a part of a known one that is not supported. */
export class ForeignFileError extends CheckpointError {
  constructor(message: string) {
    super("foreign", message);
  }
}

/** The file has no bytes. */
export class EmptyFileError extends CheckpointError {
  constructor(message: string) {
    super("empty", message);
  }
}

/** A pickle asks for a class or function that checkpoints do not need; nothing was imported or run. */
export class ForbiddenGlobalError extends CheckpointError {
  /** Dotted name of what was asked for, e.g. `posix.system`. */
  readonly global: string;
  constructor(global: string) {
    super(
      "forbidden",
      `unpickle: the file asks for ${JSON.stringify(global)}, which is not needed to describe tensors; nothing was ` +
        "executed. Do not load this file elsewhere unless you trust its author; ask for a plain state_dict or safetensors",
    );
    this.global = global;
  }
}

/** A tensor name that the file does not hold. */
export class MissingTensorError extends CheckpointError {
  constructor(message: string) {
    super("missing", message);
  }
}

/** A file would be overwritten without permission. */
export class FileExistsError extends EngineError {}

/** A path that no file can be written to: a folder, a device, or a name in a folder that is not there. */
export class WriteTargetError extends EngineError {}

export { type ByteSource, blobSource, memorySource } from "./byte_source.ts";
export { Checkpoint, type CheckpointFormat, openCheckpoint } from "./checkpoint.ts";
export * from "./errors.ts";
export type { FileDType, HostTensor, TensorInfo } from "./host_tensor.ts";

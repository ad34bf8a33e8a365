export { type ByteSink, memorySink } from "./byte_sink.ts";
export { type ByteSource, blobSource, memorySource } from "./byte_source.ts";
export { Checkpoint, type CheckpointFormat, openCheckpoint } from "./checkpoint.ts";
export * from "./errors.ts";
export { bf16ToF32, f16ToF32, f32ToBf16, f32ToF16 } from "./half.ts";
export {
  bytesOf,
  convertTensor,
  type FileArray,
  type FileDType,
  type HostTensor,
  hostTensor,
  type TensorInfo,
} from "./host_tensor.ts";
export { openFile, writeFile } from "./named_file.ts";
export { openNpy } from "./npy.ts";
export { NpyRowWriter, writeNpy } from "./npy_writer.ts";
export type { PlainValue } from "./pickle_tree.ts";
export { openPyTorch, type PyTorchContent } from "./pytorch.ts";
export { type PyTorchValue, writePyTorch } from "./pytorch_writer.ts";
export { openSafetensors, type SafetensorsContent } from "./safetensors.ts";
export { writeSafetensors } from "./safetensors_writer.ts";
export type { StoredTensor } from "./stored_tensor.ts";
export { TensorItem } from "./tensor_item.ts";

export { bf16ToF32, f16ToF32, f32ToBf16, f32ToF16 } from "../core/half_precision.ts";
export { type ByteSink, memorySink } from "./byte_sink.ts";
export { type ByteSource, blobSource, memorySource } from "./byte_source.ts";
export * from "./errors.ts";
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
export { openNpy } from "./npy/npy_reader.ts";
export { NpyRowWriter, writeNpy } from "./npy/npy_writer.ts";
export { Checkpoint, type CheckpointFormat, openCheckpoint } from "./open_weights.ts";
export type { PlainValue } from "./pytorch/pickle_tree.ts";
export { openPyTorch, type PyTorchContent } from "./pytorch/pytorch_reader.ts";
export { type PyTorchValue, writePyTorch } from "./pytorch/pytorch_writer.ts";
export { openSafetensors, type SafetensorsContent } from "./safetensors/safetensors_reader.ts";
export { writeSafetensors } from "./safetensors/safetensors_writer.ts";
export type { StoredTensor } from "./stored_tensor.ts";
export { TensorItem } from "./tensor_item.ts";

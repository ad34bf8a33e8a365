import type { Device, DeviceOptions } from "../run/device.ts";
import { openDevice } from "../run/open_device.ts";
import { InterpretedGpu } from "./interpreted_gpu.ts";

/**
 * A device without a GPU or a driver: everything that runs on a device runs on it, thousands of times slower, with the bytes that the
 * operations of f32 define. Kernels that use what differs between adapters (`exp`, f16, subgroups) are refused by name.
 */
export function openInterpreter(
  options: Omit<DeviceOptions, "adapter" | "device" | "gpuAdapter"> = {},
): Promise<Device> {
  return openDevice({ ...options, device: new InterpretedGpu() });
}

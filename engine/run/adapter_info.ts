import type { AdapterType, DeviceInfo } from "../core/device_parts.ts";
import { adapterName, isSoftwareInfo } from "../platform/platform.ts";

/** Name, kind and driver of a device, as far as the adapter or the device tells. */
export function describeAdapter(gpu: GPUDevice, adapter: GPUAdapter | undefined): DeviceInfo {
  const info = adapter?.info ?? gpu.adapterInfo;
  return {
    name: info ? adapterName(info) : "caller's device",
    type: adapterType(info),
    backend: extra(info, "backend") ?? "webgpu",
    driver: extra(info, "driver") ?? info?.description ?? "",
    vendor: info?.vendor ?? "",
    architecture: info?.architecture ?? "",
  };
}

/** Size of every subgroup where kernels can use them and the adapter has just one size. */
export function subgroupSizeOf(gpu: GPUDevice, adapter: GPUAdapter | undefined): number | undefined {
  const info = gpu.adapterInfo ?? adapter?.info;
  const isOneSize = info?.subgroupMinSize !== undefined && info.subgroupMinSize === info.subgroupMaxSize;
  return isOneSize && gpu.features.has("subgroups") ? info.subgroupMinSize : undefined;
}

/** Sizes of subgroups that kernels can ask for. */
export function subgroupRangeOf(gpu: GPUDevice, adapter: GPUAdapter | undefined): [number, number] | undefined {
  const { subgroupMinSize, subgroupMaxSize } = gpu.adapterInfo ?? adapter?.info ?? {};
  const features: ReadonlySet<string> = gpu.features;
  if (subgroupMinSize === undefined || subgroupMaxSize === undefined) return undefined;
  return features.has("subgroups") && features.has("subgroup-size-control")
    ? [subgroupMinSize, subgroupMaxSize]
    : undefined;
}

function adapterType(info: GPUAdapterInfo | undefined): AdapterType {
  if (info && isSoftwareInfo(info)) return "software";
  const kind = extra(info, "type") ?? "";
  if (/discrete/i.test(kind)) return "discrete";
  return /integrated/i.test(kind) ? "integrated" : "unknown";
}

/** What some platforms tell beyond the standard. */
function extra(info: GPUAdapterInfo | undefined, name: "backend" | "driver" | "type"): string | undefined {
  return info && name in info ? String(Reflect.get(info, name)) : undefined;
}

import { platform } from "#platform";
import { OptionError } from "../core/errors.ts";
import { Device, type DeviceOptions } from "./device.ts";

const wantedFeatures: readonly string[] = [
  "shader-f16",
  "subgroups",
  "subgroup-size-control",
  "chromium-experimental-subgroup-matrix", // not a name of the standard yet
  "timestamp-query",
];

/**
 * Opens a WebGPU device with the adapter's own limits and the features that kernels can use.
 *
 * The adapter `interpreter` is none: kernels run as JavaScript on the CPU, each operation of f32 rounded once. Everything that runs on a
 * device runs on it, far slower, and `reproducible` gives the bytes that every adapter gives. What has no one result on all adapters
 * (`exp`, f16, subgroups; only a reproducible device does without) is refused by name when a kernel comes to it.
 *
 * @throws NoAdapterError with three remedies, OptionError
 */
export async function openDevice(options: DeviceOptions = {}): Promise<Device> {
  if (options.device) return new Device(options.device, options, options.gpuAdapter);
  const robust = options.robust ?? false;
  const notice = options.notice ?? ((line: string) => console.error(line));
  const request = { adapter: options.adapter ?? platform.environmentAdapter ?? "auto", robust, notice };
  if (request.adapter === "")
    throw new OptionError(
      "openDevice: adapter is empty, expected auto, hardware, software, interpreter or a part of a name",
    );
  if (request.adapter === "interpreter" && !options.gpuAdapter) return openInterpreter(options, notice);
  if (options.gpuAdapter) return new Device(await requestDevice(options.gpuAdapter), options, options.gpuAdapter);
  const { adapter, again } = await platform.openAdapter(request);
  const openSecond = async (): Promise<GPUDevice | undefined> => {
    const other = await again?.();
    return other && requestDevice(other);
  };
  return new Device(await requestDevice(adapter), options, adapter, again && openSecond);
}

/** Loaded where it is asked for only. */
async function openInterpreter(options: DeviceOptions, notice: (line: string) => void): Promise<Device> {
  const { InterpretedGpu } = await import("../interpreter/interpreted_gpu.ts");
  notice("mimrefine: kernels are interpreted on the CPU, without a driver; any adapter would be far faster");
  return new Device(new InterpretedGpu(), options);
}

function requestDevice(adapter: GPUAdapter): Promise<GPUDevice> {
  return adapter.requestDevice({
    label: "mimrefine",
    requiredFeatures: [...adapter.features].filter((name): name is GPUFeatureName => wantedFeatures.includes(name)),
    requiredLimits: limitsOf(adapter),
  });
}

const wantedLimits = [
  "maxBufferSize",
  "maxStorageBufferBindingSize",
  "maxStorageBuffersPerShaderStage",
  "maxComputeWorkgroupStorageSize",
  "maxComputeInvocationsPerWorkgroup",
  "maxComputeWorkgroupSizeX",
  "maxComputeWorkgroupSizeY",
  "maxComputeWorkgroupSizeZ",
  "maxComputeWorkgroupsPerDimension",
  "maxUniformBufferBindingSize",
] as const;

function limitsOf(adapter: GPUAdapter): Record<string, number> {
  return Object.fromEntries(wantedLimits.map((name) => [name, adapter.limits[name]]));
}

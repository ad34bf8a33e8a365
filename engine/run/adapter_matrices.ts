import type { MatrixElement, MatrixShape, SubgroupMatrices } from "../core/device_parts.ts";
import { isSoftwareInfo } from "../platform/platform.ts";
import { subgroupSizeOf } from "./adapter_info.ts";

const matrixElements: ReadonlySet<unknown> = new Set<MatrixElement>(["f32", "f16", "u32", "i32", "u8", "i8"]);

/** Sizes to pin where subgroups have several: the vendors' matrix units want these (Intel Xe2: 16; AMD RDNA3: wave32). */
const pinnedSizes: Readonly<Record<string, number>> = { intel: 16, amd: 32 };

/** lavapipe 26.1 lists its matrices of 8 columns with subgroups of 16, too, and ends the process where one is used. */
const softwareSize = 8;

/** The matrices of an adapter: Dawn's devices list none in their own info, so a caller's device without its adapter has none. */
export function matricesOf(gpu: GPUDevice, adapter: GPUAdapter | undefined): SubgroupMatrices {
  const info = adapter?.info ?? gpu.adapterInfo;
  const listed: unknown = info && Reflect.get(info, "subgroupMatrixConfigs");
  if (!gpu.features.has("chromium-experimental-subgroup-matrix") || !Array.isArray(listed)) {
    return { shapes: [], subgroupSize: undefined };
  }
  return {
    shapes: listed.flatMap((entry: unknown) => matrixShape(entry) ?? []),
    subgroupSize: sizeForMatrices(gpu, adapter, info),
  };
}

function sizeForMatrices(gpu: GPUDevice, adapter: GPUAdapter | undefined, info: GPUAdapterInfo): number | undefined {
  const { subgroupMinSize = 0, subgroupMaxSize = 0, vendor = "" } = info;
  const only = subgroupSizeOf(gpu, adapter);
  if (only !== undefined) return isSoftwareInfo(info) && only !== softwareSize ? undefined : only;
  const pinned = gpu.features.has("subgroup-size-control") ? pinnedSizes[vendor] : undefined;
  return pinned !== undefined && subgroupMinSize <= pinned && pinned <= subgroupMaxSize ? pinned : undefined;
}

/** One entry of an adapter's list; undefined where its form is not known. */
function matrixShape(entry: unknown): MatrixShape | undefined {
  if (typeof entry !== "object" || entry === null) return undefined;
  const { componentType, resultComponentType, M, N, K } = readable(entry);
  const lengths = [M, N, K].map(Number);
  const [rows = 0, columns = 0, depth = 0] = lengths;
  if (!isElement(componentType) || !isElement(resultComponentType) || !lengths.every((length) => length > 0)) {
    return undefined;
  }
  return { rows, columns, depth, component: componentType, result: resultComponentType };
}

/** Properties of an object of the platform, which may be getters of its class. */
function readable(entry: object): Readonly<Record<string, unknown>> {
  const names = ["componentType", "resultComponentType", "M", "N", "K"];
  return Object.fromEntries(names.map((name) => [name, Reflect.get(entry, name)]));
}

function isElement(value: unknown): value is MatrixElement {
  return matrixElements.has(value);
}

import type { Waits } from "../core/device_parts.ts";
import type { ByteSink } from "../files/byte_sink.ts";
import type { ByteSource } from "../files/byte_source.ts";

/** What `openDevice` asks of a platform. */
export interface AdapterRequest {
  /** `auto`, `hardware`, `software`, or a part of an adapter's name. */
  readonly adapter: string;
  /** Keep the driver's index clamping on (see `DeviceOptions.robust`). */
  readonly robust: boolean;
  /** Receives one line when a software adapter is used. */
  readonly notice: (line: string) => void;
}

export interface OpenedAdapter {
  readonly adapter: GPUAdapter;
  /** Whether a CPU does the work. */
  readonly isSoftware: boolean;
  /** Another adapter of a driver whose kernels compile at their first launch, for a second device that helps. */
  readonly again?: () => Promise<GPUAdapter | undefined>;
}

/** The few things that differ between Node, Deno and browsers. */
export interface Platform {
  readonly name: "node" | "deno" | "browser";
  /** @throws NoAdapterError */
  openAdapter(request: AdapterRequest): Promise<OpenedAdapter>;
  /** The adapter choice and cache folder that the environment asks for. */
  readonly environmentAdapter: string | undefined;
  /** Text kept in the user's cache folder, or undefined where there is none. */
  readCache(name: string): Promise<string | undefined>;
  /** Keeps text in the user's cache folder. @returns why nothing was kept, where there is a folder that cannot be written */
  writeCache(name: string, text: string): Promise<string | undefined>;
  /** Waits of one device. */
  waits(): Waits;
  /** Opens a file for reading by ranges. */
  openFile(path: string): Promise<ByteSource>;
  /** Writes a file as a whole or not at all. */
  writeFile(path: string, produce: (sink: ByteSink) => Promise<void>, options?: WriteFileOptions): Promise<void>;
}

export interface WriteFileOptions {
  /** Replace a file that exists. Default false: it is a FileExistsError. */
  readonly overwrite?: boolean;
}

/** Names under which drivers that run on the CPU present themselves. */
const softwareNames = /llvmpipe|lavapipe|swiftshader|software|basic render|warp/i;

/** Whether what an adapter or a device says of itself is a CPU implementation. */
export function isSoftwareInfo(info: GPUAdapterInfo): boolean {
  const { description, device, architecture, isFallbackAdapter } = info;
  return isFallbackAdapter === true || softwareNames.test(`${description} ${device} ${architecture}`);
}

/** What an adapter or a device calls itself: browsers give a vendor and an architecture only. */
export function adapterName(info: GPUAdapterInfo): string {
  const { description, device, architecture, vendor } = info;
  return description || device || [vendor, architecture].filter(Boolean).join(" ") || "unnamed adapter";
}

/** The remedies of a NoAdapterError. */
export const adapterRemedies =
  "remedies: install a Vulkan driver of the GPU's vendor; or install Mesa's software driver (package mesa-vulkan-drivers); or run `npm install @sparticuz/chromium`, which holds the SwiftShader software driver";

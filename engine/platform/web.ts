import { NoAdapterError } from "../core/errors.ts";
import { type AdapterRequest, adapterName, adapterRemedies, isSoftwareInfo, type OpenedAdapter } from "./platform.ts";

/** Picks an adapter from a `GPU` object by the rules of `openDevice`. */
export async function chooseAdapter(gpu: GPU | undefined, request: AdapterRequest): Promise<OpenedAdapter | undefined> {
  const wanted = request.adapter;
  const attempts: GPURequestAdapterOptions[] = [
    { powerPreference: "high-performance" },
    { powerPreference: "low-power" },
    { forceFallbackAdapter: true },
  ];
  let software: OpenedAdapter | undefined;
  for (const attempt of attempts) {
    const adapter = await gpu?.requestAdapter(attempt);
    if (!adapter) continue;
    const found = { adapter, isSoftware: isSoftwareInfo(adapter.info) };
    if (answers(found, wanted)) return found;
    if (found.isSoftware) software ??= found;
  }
  return wanted === "auto" ? software : undefined;
}

/** Whether an adapter is what was asked for; a software adapter answers `auto` only where no other does. */
function answers({ adapter, isSoftware }: OpenedAdapter, wanted: string): boolean {
  if (wanted === "auto" || wanted === "hardware") return !isSoftware;
  return wanted === "software" ? isSoftware : adapterName(adapter.info).toLowerCase().includes(wanted.toLowerCase());
}

/** @throws NoAdapterError with what was asked for and three remedies */
export function noAdapter(request: AdapterRequest, where: string): NoAdapterError {
  const asked = request.adapter === "auto" ? "no WebGPU adapter" : `no WebGPU adapter for --adapter ${request.adapter}`;
  return new NoAdapterError(`openDevice: ${asked} in ${where}; ${adapterRemedies}`);
}

/** Tells the user that a CPU does the work. */
export function noticeSoftware(request: AdapterRequest, opened: OpenedAdapter): OpenedAdapter {
  if (opened.isSoftware)
    request.notice(
      `mimrefine: using the software adapter ${adapterName(opened.adapter.info)} (CPU); a GPU would be far faster`,
    );
  return opened;
}

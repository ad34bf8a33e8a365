import type { GpuReport } from "../cli/gpu_report/report_schema.ts";
import type { AdapterFamily } from "../engine/tune/known_adapters.ts";

export function entryOf(report: GpuReport, family: string, driver: string, leastGain?: number): AdapterFamily;

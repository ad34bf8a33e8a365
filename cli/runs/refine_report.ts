import { type Device, DeviceLostError } from "../../engine/index.ts";
import type { VisionTransformer } from "../../models/index.ts";
import type { RefineConfig } from "../../refiner/index.ts";
import { dryRun } from "../../refiner/methods/refine/planning/dry_run.ts";
import type { ReportData } from "../../refiner/report/index.ts";
import { reportRun, saveReportData } from "../../refiner/report/report_node.ts";
import type { RunFolder } from "../../refiner/training/run_folder_node.ts";
import type { Output } from "../output/streams.ts";
import type { Evaluation } from "./refine_evaluation.ts";
import { picturesOf } from "./report_pictures.ts";

/** A finished run and what its report shows. */
export interface RefinementParts {
  readonly store: RunFolder;
  readonly config: RefineConfig;
  readonly device: Device;
  /** Loads the encoder that the run began with: its file may be gone by now. */
  readonly before: () => Promise<VisionTransformer>;
  readonly after: VisionTransformer;
  readonly pictures: Evaluation;
  readonly timings: readonly { readonly name: string; readonly seconds: number }[];
  /** Size of the data set. */
  readonly images: number;
}

/** Writes the report of a finished run. A failure is reported and does not undo the run; false then. */
export async function reportOfRefinement(parts: RefinementParts, output: Output): Promise<boolean> {
  const { store, config, device, after, timings, images } = parts;
  try {
    const { name, type, backend, driver } = device.info;
    await saveReportData(store.name, {
      ...(await picturesIfPossible(parts, output)),
      device: { name, type, backend, driver },
      timings: [...timings],
      memoryPlan: memoryPlan(device, after, config, images),
    });
    output.line(`report: ${await reportRun(store.name)}`);
    return true;
  } catch (error) {
    if (error instanceof DeviceLostError) throw error; // the run goes on with it on a new device
    const reason = error instanceof Error ? error.message : String(error);
    output.warning(
      `the report could not be written (${reason}); the run is complete, try: mimrefine report ${store.name}`,
    );
    return false;
  }
}

/** Without pictures where images or weights are gone since the run began. */
async function picturesIfPossible(parts: RefinementParts, output: Output): Promise<Partial<ReportData>> {
  const { config, device, after, pictures } = parts;
  try {
    const models = { before: await parts.before(), after };
    const sources = { train: pictures.bank, test: pictures.queries };
    return await picturesOf(device, models, sources, { pooling: config.pooling });
  } catch (error) {
    if (error instanceof DeviceLostError) throw error;
    output.warning(`the report has no pictures: ${error instanceof Error ? error.message : String(error)}`);
    return {};
  }
}

function memoryPlan(device: Device, { config: vit }: VisionTransformer, config: RefineConfig, images: number) {
  const { memory } = dryRun(device, vit, config, images, config.stage3Epochs > 0 ? 3 : 2);
  return Object.entries(memory).map(([name, bytes]) => ({ name, bytes }));
}

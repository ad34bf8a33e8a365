import { type Device, DeviceLostError } from "../../engine/index.ts";
import type { EpochAccuracy, FinetunePlan, FinetuneResult } from "../../refiner/index.ts";
import type { PublishedTable } from "../../refiner/report/index.ts";
import { reportRun, saveReportData } from "../../refiner/report/report_node.ts";
import type { RunFolder } from "../../refiner/training/run_folder_node.ts";
import type { Output } from "../output/streams.ts";
import type { Timing } from "./follow_run.ts";

/** What a run found, for people and for programs. */
export function finetuneSummary(
  { finished, updates, tests, skippedUpdates }: Omit<FinetuneResult, "model">,
  { seconds, images, out }: { readonly seconds: number; readonly images: number; readonly out: string },
): { readonly lines: readonly string[]; readonly result: Readonly<Record<string, unknown>> } {
  const last = tests.at(-1);
  const best = tests.reduce<EpochAccuracy | undefined>(
    (most, test) => (most && most.accuracy >= test.accuracy ? most : test),
    undefined,
  );
  const percent = (test: EpochAccuracy): string => `${(100 * test.accuracy).toFixed(2)} %`;
  const isBetter = best !== undefined && last !== undefined && best.accuracy > last.accuracy;
  const selection = `nothing was chosen on the test images: the number is that of the last test, after epoch ${last?.epoch}`;
  return {
    lines: [
      `${finished ? "finished" : "stopped"} after ${updates} updates, ${seconds.toFixed(0)} s`,
      ...(last ? [`top-1 after epoch ${last.epoch}: ${percent(last)} of ${last.images} test images`] : []),
      ...(last && !isBetter ? [selection] : []),
      ...(isBetter
        ? [`best epoch: ${best.epoch}, ${percent(best)}, chosen on the test images and so too good to report`]
        : []),
      ...(finished ? [`classifier: ${out}/classifier.safetensors`] : []),
    ],
    result: {
      finished,
      updates,
      ...(skippedUpdates === undefined ? {} : { skippedUpdates }),
      seconds,
      images,
      ...(last ? { last } : {}),
      ...(best ? { best } : {}),
      ...(last ? { selection: { on: "nothing", text: selection } } : {}),
      out,
    },
  };
}

/** Writes the report of a finished run. A failure is reported and does not undo the run; false then. */
export async function reportOfFinetuning(
  store: RunFolder,
  {
    device,
    timings,
    plan,
    published,
  }: {
    readonly device: Device;
    readonly timings: readonly Timing[];
    readonly plan: FinetunePlan;
    readonly published: readonly PublishedTable[];
  },
  output: Output,
): Promise<boolean> {
  try {
    const { name, type, backend, driver } = device.info;
    await saveReportData(store.name, {
      device: { name, type, backend, driver },
      timings: [...timings],
      published: [...published],
      memoryPlan: Object.entries(plan.memory).map(([kind, bytes]) => ({ name: kind, bytes })),
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

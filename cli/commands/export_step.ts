import { Command } from "commander";
import type { Device } from "../../engine/index.ts";
import { writeFileAtomic } from "../../engine/platform/files_node.ts";
import packageJson from "../../package.json" with { type: "json" };
import { type ExportedStep, exportFinetuneStep, exportPretrainStep, exportRefineStep } from "../../refiner/index.ts";
import { RunFolder } from "../../refiner/training/run_folder_node.ts";
import { formatBytes, type Output } from "../output/streams.ts";
import { type CommandContext, finishCommand, outputOf } from "../program/context.ts";
import { type CommonOptions, openCommandDevice } from "../program/options.ts";
import { sharedOption } from "../program/shared_options.ts";
import { checkTouchedPaths } from "../program/touched_paths.ts";
import { UsageError } from "../program/usage_error.ts";
import { configFile, inModeOf, readAnyRun, resumeOn, type StoredRun } from "../runs/stored_run.ts";
import { withStoredTraining } from "../runs/stored_training.ts";

interface ExportStepCommandOptions extends CommonOptions {
  readonly out: string;
  readonly force: boolean;
}

/** `mimrefine export-step RUN` */
export function exportStepCommand(context: CommandContext): Command {
  const command = new Command("export-step")
    .summary("write the update of a run as one file that runs elsewhere")
    .description(
      "Writes the update of a training as one file: its kernels (WGSL), memory plan and the state of the newest checkpoint, each part with its hash. The module mimrefine/step, which needs nothing else, runs it on any WebGPU device in Node, Deno or a browser, to the bytes of the run on the same adapter. That of a reproducible refinement needs no features and has the same bytes everywhere. The run is only read. For runs whose update is one program: without micro-batches and offloaded state; a reproducible pretrain or finetune works in parts.",
    )
    .argument("<run>", "folder of a run, as refine, pretrain or finetune writes it (--out)")
    .addOption(sharedOption("outFile", { isRequired: true }))
    .addOption(sharedOption("force", { default: false }))
    .action((run: string, options: ExportStepCommandOptions) => exportStep(run, options, outputOf(context, options)));
  return finishCommand(command, "mimrefine export-step runs/refine --out step.mimstep");
}

async function exportStep(run: string, options: ExportStepCommandOptions, output: Output): Promise<void> {
  const { out, force } = options;
  await checkTouchedPaths("export-step", { reads: { "<run>": run }, writes: { "--out": out }, overwrite: force });
  const store = new RunFolder(run);
  if ((await store.readText(configFile)) === undefined)
    throw new UsageError(`export-step: ${run} is no folder of a run; give the --out of a training`);
  const stored = await readAnyRun(store);
  const device = await openCommandDevice(deviceOptions(stored, options), output, "stored");
  try {
    const difference = stored.reproducible ? undefined : resumeOn(device, stored);
    if (difference !== undefined) output.notice(`the kernels are chosen for ${device.info.name}; ${difference}`);
    const { bytes, notices, ...exported } = await exportedOn(device, store, stored, output);
    for (const text of notices) output.notice(text);
    await writeFileAtomic(out, (sink) => sink.write(bytes), { overwrite: force });
    output.line(`${out}: ${formatBytes(bytes.length)}, stage ${exported.stage}, after ${exported.checkpoint}`);
    output.result({ run, out, bytes: bytes.length, ...exported });
  } finally {
    device.close();
  }
}

/** The update of a reproducible run has the same bytes with the kernels that every device takes: those of the interpreter. */
function deviceOptions(stored: StoredRun, options: ExportStepCommandOptions): CommonOptions {
  const { adapter = "interpreter" } = options;
  return { ...inModeOf(stored, options), ...(stored.reproducible ? { adapter } : {}) };
}

function exportedOn(device: Device, store: RunFolder, stored: StoredRun, output: Output): Promise<ExportedStep> {
  const run = { store, metadata: { version: packageJson.version, adapter: device.info.name } };
  return withStoredTraining(
    stored,
    { command: "export-step", device, output },
    {
      refine: (opened) => exportRefineStep({ ...opened, ...run }),
      pretrain: (opened) => exportPretrainStep({ ...opened, ...run }),
      finetune: (opened) => exportFinetuneStep({ ...opened, ...run }),
    },
  );
}

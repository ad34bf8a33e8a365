import { join } from "node:path";
import { Command } from "commander";
import { reportRun } from "../../refiner/report/report_node.ts";
import { holdsReceipt, writeEvaluationReport } from "../evaluation/evaluation_report.ts";
import { evaluationsOfRun } from "../evaluation/run_evaluations.ts";
import { type CommandContext, finishCommand, outputOf } from "../program/context.ts";
import type { CommonOptions } from "../program/options.ts";
import { sharedOption } from "../program/shared_options.ts";
import { checkTouchedPaths } from "../program/touched_paths.ts";
import { UsageError } from "../program/usage_error.ts";

interface ReportOptions extends CommonOptions {
  readonly out?: string;
  readonly evaluations?: readonly string[];
  readonly force: boolean;
}

/** `mimrefine report RUN` */
export function reportCommand(context: CommandContext): Command {
  const command = new Command("report")
    .summary("write the report of a run as one HTML file")
    .description(
      "Writes RUN/report.html: loss and health of every head, k-NN accuracy per block before and after, nearest images, maps of attention and patch features, evaluations of its encoders before and after, configuration, device, timings and memory. One file that loads nothing from elsewhere. Of an evaluation: scores of one encoder or two side by side, with what was selected on which images, and its pictures. A run that is still going on, or was interrupted, gives a report of what is there.",
    )
    .argument("<run>", "folder of a run, as refine or evaluate writes it (--out)")
    .addOption(sharedOption("outFile", { more: "default: report.html in the run folder, replaced if it exists" }))
    .option(
      "--evaluations <folders...>",
      "more places of evaluations (evaluate --out) beside RUN/evaluations; those of the run's encoders are shown, before and after, told by the digests of the weights",
    )
    .addOption(sharedOption("force", { default: false }))
    .action(async (run: string, options: ReportOptions) => {
      const output = outputOf(context, options);
      const { out, force, evaluations: folders = [] } = options;
      const path = out ?? join(run, "report.html");
      const overwrite = force || out === undefined;
      const named = Object.fromEntries(folders.map((folder, i) => [`--evaluations ${i + 1}`, folder]));
      await checkTouchedPaths("report", { reads: { "<run>": run, ...named }, writes: { "--out": path }, overwrite });
      const isEvaluation = await holdsReceipt(run);
      if (isEvaluation && folders.length > 0)
        throw new UsageError("report: --evaluations goes with a run of training, and this is an evaluation; drop it");
      const evaluations = isEvaluation ? [] : await evaluationsOfRun(run, folders, output);
      if (isEvaluation) await writeEvaluationReport(run, path);
      else await reportRun(run, path, evaluations);
      output.line(path);
      output.result({ run, out: path, evaluations: evaluations.length });
    });
  return finishCommand(
    command,
    "mimrefine report runs/refine\nmimrefine report runs/refine --evaluations runs/knn runs/lowshot\nmimrefine report runs/refine --out report.html --force",
  );
}

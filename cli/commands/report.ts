import { join } from "node:path";
import { Command } from "commander";
import { reportRun } from "../../refiner/report/report_node.ts";
import { holdsReceipt, writeEvaluationReport } from "../evaluation/evaluation_report.ts";
import { type CommandContext, finishCommand, outputOf } from "../program/context.ts";
import type { CommonOptions } from "../program/options.ts";
import { sharedOption } from "../program/shared_options.ts";
import { checkTouchedPaths } from "../program/touched_paths.ts";

interface ReportOptions extends CommonOptions {
  readonly out?: string;
  readonly force: boolean;
}

/** `mimrefine report RUN` */
export function reportCommand(context: CommandContext): Command {
  const command = new Command("report")
    .summary("write the report of a run as one HTML file")
    .description(
      "Writes RUN/report.html: loss and health of every head, k-NN accuracy per block before and after, nearest images, maps of patch features, configuration, device, timings and memory. One file that loads nothing from elsewhere. Of an evaluation: scores of one encoder or two side by side, with what was selected on which images, and its pictures. A run that is still going on, or was interrupted, gives a report of what is there.",
    )
    .argument("<run>", "folder of a run, as refine or evaluate writes it (--out)")
    .addOption(sharedOption("outFile", { more: "default: report.html in the run folder, replaced if it exists" }))
    .addOption(sharedOption("force", { default: false }))
    .action(async (run: string, options: ReportOptions) => {
      const output = outputOf(context, options);
      const { out, force } = options;
      const path = out ?? join(run, "report.html");
      const overwrite = force || out === undefined;
      await checkTouchedPaths("report", { reads: { "<run>": run }, writes: { "--out": path }, overwrite });
      if (await holdsReceipt(run)) await writeEvaluationReport(run, path);
      else await reportRun(run, path);
      output.line(path);
      output.result({ run, out: path });
    });
  return finishCommand(command, "mimrefine report runs/refine\nmimrefine report runs/refine --out report.html --force");
}

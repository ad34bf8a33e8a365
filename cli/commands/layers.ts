import { Command } from "commander";
import { recommendedBlocks } from "../../refiner/evaluation/index.ts";
import {
  addEvaluationOptions,
  describeEvaluation,
  measureBlocks,
  withEvaluationJob,
} from "../evaluation/evaluation_job.ts";
import { type ReconstructionCommandOptions, reconstructionOf } from "../evaluation/reconstruction.ts";
import { blockTable, numbered } from "../output/knn_table.ts";
import type { Output } from "../output/streams.ts";
import { type CommandContext, finishCommand, outputOf } from "../program/context.ts";
import { wholeNumber } from "../program/parsers.ts";
import { sharedOption } from "../program/shared_options.ts";

/** `mimrefine layers` */
export function layersCommand(context: CommandContext): Command {
  const command = new Command("layers")
    .summary("show what each block knows, and where to attach heads")
    .description(
      "Measures k-NN accuracy of every block (of the last one, that of the encoder's final output) and recommends at which blocks to attach heads for refinement: at the peak and everywhere behind it. If the weights hold an MAE decoder, also its reconstruction loss when it reads that block (through the encoder's last norm): it falls where the encoder turns into a part of the decoder. Tab-separated.",
    )
    .addOption(sharedOption("decoderHeads", { more: "where its width does not tell" }))
    .option("--reconstruction-images <number>", "images to reconstruct; 0 for none", wholeNumber(0), 256);
  addEvaluationOptions(command).action((options: ReconstructionCommandOptions) =>
    layers(options, outputOf(context, options)),
  );
  return finishCommand(command, "mimrefine layers --weights mae_visualize_vit_base.pth --images train/");
}

async function layers(options: ReconstructionCommandOptions, output: Output): Promise<void> {
  const startMs = performance.now();
  await withEvaluationJob(options, output, async (job) => {
    const found = await measureBlocks(job, options, output);
    const loss = await reconstructionOf(job, options, output);
    const heads = recommendedBlocks(found.accuracy);
    const names = heads.map((place) => found.blocks[place] ?? "last");
    const head = found.blocks.map((_, place) => (heads.includes(place) ? "*" : ""));
    for (const row of blockTable(numbered(found.blocks), { knn: found.accuracy, reconstruction: loss, head }))
      output.line(row.join("\t"));
    const peak = `best block ${names[0]}, ${(100 * Math.max(...found.accuracy)).toFixed(1)} %`;
    output.notice(`${peak}; attach heads there and behind: mimrefine refine --heads ${names.join(",")}`);
    const seconds = (performance.now() - startMs) / 1000;
    output.result({
      ...describeEvaluation(job, options, found),
      seconds,
      blocks: found.blocks,
      knn: found.accuracy,
      ...(loss ? { reconstruction: loss } : {}),
      peak: heads[0],
      heads: names,
    });
  });
}

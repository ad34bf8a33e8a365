import { Command } from "commander";
import { recommendedBlocks } from "../../refiner/evaluation/index.ts";
import {
  addEvaluationOptions,
  describeEvaluation,
  measureBlocks,
  withEvaluationJob,
} from "../evaluation/evaluation_job.ts";
import { type ReconstructionCommandOptions, reconstructionOf } from "../evaluation/reconstruction.ts";
import type { Output } from "../output/streams.ts";
import { type CommandContext, finishCommand, outputOf } from "../program/context.ts";
import { wholeNumber } from "../program/parsers.ts";
import { sharedOption } from "../program/shared_options.ts";

/** `mimrefine layers` */
export function layersCommand(context: CommandContext): Command {
  const command = new Command("layers")
    .summary("show what each block knows, and where to attach heads")
    .description(
      "Measures k-NN accuracy of every block and recommends at which blocks to attach heads for refinement: at the peak and everywhere behind it. If the weights hold an MAE decoder, also its reconstruction loss when it reads that block (through the encoder's last norm): it falls where the encoder turns into a part of the decoder. Tab-separated.",
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
    const names = heads.map((block) => (block === found.blocks.at(-1) ? "last" : String(block)));
    output.line(["block", "knn", ...(loss ? ["reconstruction"] : []), "head"].join("\t"));
    found.blocks.forEach((block, i) => {
      const values = [found.accuracy[i], ...(loss ? [loss[i]] : [])].map((value) => (value ?? Number.NaN).toFixed(4));
      output.line([block, ...values, heads.includes(block) ? "*" : ""].join("\t"));
    });
    const peak = `best block ${heads[0]}, ${(100 * Math.max(...found.accuracy)).toFixed(1)} %`;
    output.notice(`${peak}; attach heads there and behind: mimrefine refine --heads ${names.join(",")}`);
    const seconds = (performance.now() - startMs) / 1000;
    output.result({
      ...describeEvaluation(job, options, found),
      seconds,
      blocks: found.blocks,
      knn: found.accuracy,
      ...(loss ? { reconstruction: loss } : {}),
      peak: heads[0],
      heads: names.map((name) => (name === "last" ? name : Number(name))),
    });
  });
}

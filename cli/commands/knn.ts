import { Command } from "commander";
import type { FeatureBlock } from "../../refiner/evaluation/index.ts";
import {
  addEvaluationOptions,
  describeEvaluation,
  type EvaluationOptions,
  measureBlocks,
  withEvaluationJob,
} from "../evaluation/evaluation_job.ts";
import { blockTable, numbered } from "../output/knn_table.ts";
import type { Output } from "../output/streams.ts";
import { type CommandContext, finishCommand, outputOf } from "../program/context.ts";
import { sharedOption } from "../program/shared_options.ts";
import { UsageError } from "../program/usage_error.ts";

interface KnnCommandOptions extends EvaluationOptions {
  readonly block?: FeatureBlock;
}

/** `mimrefine knn` */
export function knnCommand(context: CommandContext): Command {
  const command = new Command("knn")
    .summary("classify images by their nearest neighbours, per block")
    .description(
      "Encodes labelled images once and classifies the test images by a weighted vote of their k nearest training images: no training, the usual measure of what an encoder knows. One accuracy per block, first to last: the block's raw output, and for the last one the encoder's final output. Features are those that embed writes. Tab-separated.",
    )
    .addOption(sharedOption("block", { more: "default: all of them" }));
  addEvaluationOptions(command).action((options: KnnCommandOptions) => knn(options, outputOf(context, options)));
  return finishCommand(
    command,
    "mimrefine knn --weights encoder.safetensors --images train/ --test val/\nmimrefine knn --weights encoder.safetensors --images photos/ --pool avg -k 10 --json",
  );
}

async function knn(options: KnnCommandOptions, output: Output): Promise<void> {
  const startMs = performance.now();
  await withEvaluationJob(options, output, async (job) => {
    const { blocks } = job.model.config;
    if (options.block !== undefined && options.block !== "last" && options.block >= blocks)
      throw new UsageError(`knn: --block ${options.block} does not exist; choose 0 … ${blocks - 1}, or last`);
    const found = await measureBlocks(job, options, output, options.block === undefined ? "all" : [options.block]);
    for (const row of blockTable(numbered(found.blocks), { accuracy: found.accuracy })) output.line(row.join("\t"));
    const seconds = (performance.now() - startMs) / 1000;
    output.notice(
      `${found.testImages} test images against ${found.trainImages} training images in ${seconds.toFixed(1)} s`,
    );
    output.result({ ...describeEvaluation(job, options, found), seconds, blocks: found.blocks, knn: found.accuracy });
  });
}

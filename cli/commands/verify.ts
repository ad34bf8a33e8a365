import { Command } from "commander";
import { type Verification, verifyRun } from "../../refiner/index.ts";
import { RunFolder } from "../../refiner/training/run_folder_node.ts";
import { namesOf } from "../../refiner/training/state_difference_error.ts";
import { type CommandContext, finishCommand, outputOf } from "../program/context.ts";
import { exitCodes } from "../program/exit_codes.ts";
import { type CommonOptions, openCommandDevice } from "../program/options.ts";
import { wholeNumber } from "../program/parsers.ts";
import { sharedOption } from "../program/shared_options.ts";
import { checkTouchedPaths } from "../program/touched_paths.ts";
import { inModeOf, readAnyRun, type StoredRun } from "../runs/stored_run.ts";
import { trainAgain } from "../runs/train_again.ts";

interface VerifyOptions extends CommonOptions {
  readonly updates?: number;
  readonly from?: number;
  readonly images?: string;
  readonly weights?: string;
}

/** `mimrefine verify RUN` */
export function verifyCommand(context: CommandContext): Command {
  const command = new Command("verify")
    .summary("compute updates of a reproducible run again, and compare")
    .description(
      "Computes updates of a run that was trained with --reproducible again on this machine, from one of its checkpoints or the beginning, and compares hashes of every batch and state with those of RUN/hashes.jsonl, and states with its checkpoints byte by byte. Says equal, or the first update and tensor that differ, with exit code 1. Nothing is written. The hashes find flipped bits and other machines; they are no signature.",
    )
    .argument("<run>", "folder of a run, as refine, pretrain or finetune writes it (--out)")
    .option("--updates <number>", "updates to compute (default: all that have hashes)", wholeNumber(1))
    .option(
      "--from <number>",
      "updates before the first: those of a kept checkpoint, or 0 for the beginning (default: the oldest checkpoint with hashes behind it)",
      wholeNumber(0),
    )
    .addOption(sharedOption("images", { more: "default: where the run has them" }))
    .addOption(sharedOption("weights", { more: "default: where the run has them" }))
    .action((run: string, options: VerifyOptions) => verify(context, run, options));
  return finishCommand(
    command,
    "mimrefine verify runs/x\nmimrefine verify runs/x --updates 20 --adapter software\nmimrefine verify runs/x --from 0 --updates 5",
  );
}

async function verify(context: CommandContext, run: string, options: VerifyOptions): Promise<void> {
  const output = outputOf(context, options);
  const { images, weights, from, updates } = options;
  await checkTouchedPaths("verify", { reads: { "<run>": run, "--images": images, "--weights": weights } });
  const folder = new RunFolder(run);
  const found = await readAnyRun(folder);
  const stored: StoredRun = {
    ...found,
    ...(images === undefined ? {} : { images }),
    ...(weights === undefined ? {} : { weights }),
  };
  const start = performance.now();
  let adapter = "";
  const verification = await verifyRun(folder, { from, updates }, async (store, until) => {
    const device = await openCommandDevice(inModeOf(stored, options), output, "stored");
    try {
      adapter = device.info.name;
      // Another adapter has its own choices.
      if (stored.adapter?.name === adapter) device.tuning.load(stored.tuning);
      await trainAgain(stored, { device, store, until, output });
    } finally {
      device.close();
    }
  });
  const seconds = (performance.now() - start) / 1000;
  for (const line of linesOf(verification, adapter)) output.line(line);
  output.result({ run, adapter, seconds, isEqual: verification.difference === undefined, ...verification });
  if (verification.difference) context.exitCode = exitCodes.failure;
}

function linesOf({ from, equal, difference, hasSamePrograms }: Verification, adapter: string): string[] {
  const programs = hasSamePrograms
    ? []
    : ["the programs are others than those of the run, as on other adapters and numbers of ranks"];
  if (!difference) {
    const range = equal === 1 ? `1 update after ${from} has` : `${equal} updates after ${from} have`;
    return [`equal: ${range} the recorded batches and states, bit for bit, on ${adapter}`, ...programs];
  }
  const { what, stage, update, updates, tensors, byte } = difference;
  const place = `update ${update} of stage ${stage} (${updates} of all)`;
  const texts = {
    batch: `the images of ${place} are others`,
    state: `the state after ${place} is another: ${namesOf(tensors)}`,
    checkpoint: `the checkpoint after ${place} is not the recorded state: ${namesOf(tensors)}`,
  };
  const first = byte
    ? [
        `first byte: ${byte.tensor}, byte ${byte.byte}: ${byte.stored ?? "none"} stored, ${byte.computed ?? "none"} computed`,
      ]
    : [];
  return [`different on ${adapter}: ${texts[what]}`, ...first, `${equal} updates before it are equal`, ...programs];
}

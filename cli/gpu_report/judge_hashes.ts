import type { Device } from "../../engine/index.ts";
import { checkHashes } from "../../engine/self_check/index.ts";
import { reproducibleTrainings } from "../../refiner/conformance/reproducible_training.ts";
import type { Output } from "../output/streams.ts";
import type { CommandContext } from "../program/context.ts";
import { exitCodes } from "../program/exit_codes.ts";

/** Compares the bits of operations and small trainings with those of known adapters, and says what they come to. */
export async function judgeHashes(device: Device, context: CommandContext, output: Output): Promise<void> {
  const operations = await checkHashes(device);
  const trainings = (await reproducibleTrainings(device)).map(({ training, ...row }) => ({
    case: training,
    tensor: "state",
    ...row,
  }));
  const rows = [...operations, ...trainings];
  output.line();
  output.table([
    ["case", "tensor", "bits", "expected", ""],
    ...rows.map((row) => [
      row.case,
      row.tensor,
      row.hash.slice(0, 16),
      row.expected?.slice(0, 16) ?? "none",
      row.pass ? "ok" : "DIFFERS",
    ]),
  ]);
  const different = rows.filter((row) => !row.pass).map(({ case: name, tensor }) => `${name} (${tensor})`);
  output.line(
    different.length === 0
      ? `All ${rows.length} results have the bits of the adapters that this version was made on.`
      : `${different.length} of ${rows.length} results have other bits: ${different.join(", ")}. Reproducible runs of this adapter are equal among themselves only; please report it with the output of bench --gpu-report.`,
  );
  const { name, type, backend, driver } = device.info;
  const pass = different.length === 0;
  output.result({ adapter: { name, type, backend, driver }, hashes: rows, pass });
  context.exitCode = pass ? exitCodes.success : exitCodes.failure;
}

import { readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { root } from "../places.ts";
import { Draws } from "../random.ts";
import { command, lastWords } from "./command.ts";
import { differences, flipBit } from "./comparison.ts";
import { type Lane, outcome } from "./lane.ts";
import { type Training, type Trainings, trainingNames } from "./trainings.ts";

/** Runs that lose one or two devices at random moments and go on by themselves, one run a case. */
export async function* losses({ options, ledger, trainings }: Lane): AsyncGenerator<void> {
  const tally = ledger.tally("lost devices");
  while (tally.tried < options.losses) {
    const index = options.only ?? tally.next++;
    const training = await trainings.training(trainingNames[index % trainingNames.length] ?? "refine");
    const start = performance.now();
    const { lost, faults } = await lostRun(training, trainings, new Draws(options.seed, "losses", index));
    tally.seconds += (performance.now() - start) / 1000;
    tally.tried += lost;
    outcome(tally, `${lost === 1 ? "one device" : `${lost} devices`} lost by ${training.name}`);
    for (const text of faults)
      ledger.report(
        { part: "lost devices", index, kind: training.name, text },
        `--files 0 --kills 0 --disks 0 --only ${index}`,
      );
    if (faults.length === 0) tally.good++;
    yield;
    if (options.only !== undefined) return;
  }
}

async function lostRun(training: Training, trainings: Trainings, draws: Draws) {
  const out = join(trainings.folder, `lost-${training.name}`);
  const log = join(trainings.folder, "lost.log");
  await rm(out, { recursive: true, force: true });
  await rm(log, { force: true });
  // About a third of the time passes before the device is opened.
  const moment = (): number => Math.round(600 * training.seconds * draws.share());
  const moments = Array.from({ length: 1 + draws.below(2) }, moment);
  const preload = pathToFileURL(join(root, "test/campaign/commands/lose_devices.mjs"));
  preload.search = new URLSearchParams({ after: moments.join(), log }).toString();
  const ended = await command(training.begin(out), {
    environment: trainings.environment,
    nodeOptions: ["--import", preload.href],
  });
  const lost = (await readFile(log, "utf8").catch(() => "")).split("\n").length - 1;
  const story = `devices lost after ${moments.join(" and ")} ms, ${lost} of them in use`;
  const faults: string[] = [];
  const fault = (text: string): void => void faults.push(`${text} (${story})`);
  if (ended.code !== 0) fault(lastWords(ended));
  const told = ended.err.split("; going on from ").length - 1;
  if (ended.code === 0 && told < lost) fault(`${lost} devices were lost, ${told} losses were told`);
  if (trainings.plant) await flipBit(join(out, training.result));
  const different = await differences(training, out);
  if (different.length > 0) fault(different.join(", "));
  return { lost, faults };
}

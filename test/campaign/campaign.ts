/** Mutated files, kills, lost devices and full disks against the product, for as long as it is given; see test/CAMPAIGN.md. */
import { existsSync } from "node:fs";
import { mkdir, rm } from "node:fs/promises";
import process from "node:process";
import { diskCase, fullDisks } from "./commands/full_disks.ts";
import { kills } from "./commands/kills.ts";
import { losses } from "./commands/losses.ts";
import { trainingsOf } from "./commands/trainings.ts";
import { mutatedFiles, repeatedFile, sliceOf } from "./files/mutated_files.ts";
import { Ledger } from "./ledger.ts";
import { type CampaignOptions, campaignOptions, usage } from "./options.ts";
import { cli } from "./places.ts";
import { campaignTable, machine } from "./table.ts";

const [first, second = ""] = process.argv.slice(2);
if (first === "--slice") {
  await sliceOf(second);
  process.exit(0); // the driver's threads would keep the process alive
}
if (first === "--full-disk") {
  await diskCase(second);
  process.exit(0);
}
if (first === "--help") console.log(usage);
else process.exit(await campaign(campaignOptions(process.argv.slice(2))));

/** @returns the exit code: 1 where there are faults */
async function campaign(options: CampaignOptions): Promise<number> {
  const { seed, folder, only } = options;
  if (!existsSync(cli)) throw new Error("campaign: the command is not built; npm run build");
  if (options.fresh) await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true });
  if (only !== undefined && options.readers) {
    await repeatedFile(options, only);
    return 0;
  }
  const ledger = await Ledger.open(folder, seed);
  const before = ledger.tallies.reduce((sum, [, { tried }]) => sum + tried, 0);
  console.log(`campaign: seed ${seed}, at most ${options.minutes} minutes, in ${folder}; ${machine()}`);
  if (before > 0) console.log(`going on after ${before} cases; --fresh begins again`);
  const start = performance.now();
  const isOver = (): boolean => performance.now() - start > 60_000 * options.minutes;
  // Two lanes, for two cores: small files in processes of their own, and whole commands one after another.
  await Promise.all([mutatedFiles(options, ledger, isOver), commands(options, ledger, isOver)]);
  const minutes = (performance.now() - start) / 60_000;
  console.log(
    `\nseed ${seed}, ${new Date().toISOString().slice(0, 10)}, ${minutes.toFixed(1)} minutes, ${machine()}\n`,
  );
  console.log(campaignTable(ledger));
  const { findings } = ledger;
  if (isOver()) console.log(`\nthe time is over; --seed ${seed} goes on`);
  for (const { part, index, kind, text } of findings) console.log(`\nFAULT ${part}, index ${index}: ${kind}: ${text}`);
  return findings.length > 0 ? 1 : 0;
}

async function commands(options: CampaignOptions, ledger: Ledger, isOver: () => boolean): Promise<void> {
  if (options.kills + options.losses + options.disks === 0) return;
  const trainings = await trainingsOf(options.folder, { plant: options.plant });
  const lane = { options, ledger, trainings };
  // By turns, so that a short campaign has some of each.
  const parts = [kills(lane), losses(lane), fullDisks(lane)];
  while (parts.length > 0 && !isOver()) {
    const part = parts.shift();
    const next = await part?.next();
    await ledger.save();
    if (part && !next?.done) parts.push(part);
  }
}

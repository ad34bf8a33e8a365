// Writes the choices of a GPU report into the table of known adapters that the package brings:
//   node scripts/known_adapter.mjs REPORT.json "NVIDIA Ada" "^NVIDIA" [GAIN]
// An entry with the family's name is replaced. The driver's pattern is a regular expression. A variant takes the place of the built-in
// one if it is GAIN times as fast (1.05 without it), so that noise changes no choice.
import { readFile, writeFile } from "node:fs/promises";
import { argv, exit } from "node:process";

/** A choice of fewer timed repetitions is left to the tuner. */
const leastRuns = 3;

/** @param {{ kernelMs: number | null, wallMs: number | null }} variant */
const timeOf = ({ kernelMs, wallMs }) => kernelMs ?? wallMs ?? Number.POSITIVE_INFINITY;

/** An entry of the table, from a report of `mimrefine bench --gpu-report`. */
export function entryOf(report, family, driver, leastGain = 1.05) {
  if (report.kind !== "mimrefine GPU report" || report.format !== 1)
    throw new Error("not a report of this version's form; write one with mimrefine bench --gpu-report");
  if (!new RegExp(driver).test(report.adapter.driver))
    throw new Error(`the pattern ${driver} does not match the report's own driver ${report.adapter.driver}`);
  const measured = report.operations.filter(({ builtIn, fastest, variants }) =>
    [builtIn, fastest].every((name) => variants.some(({ variant, runs }) => variant === name && runs >= leastRuns)),
  );
  const choices = measured.map(({ key, builtIn, fastest, variants }) => {
    const time = (name) => timeOf(variants.find(({ variant }) => variant === name) ?? { kernelMs: null, wallMs: null });
    return [key, time(builtIn) > leastGain * time(fastest) ? fastest : builtIn];
  });
  const operations = new Set(measured.map(({ operation }) => operation));
  const { vendor, architecture, subgroupSize } = report.adapter;
  return {
    family,
    vendor,
    architecture,
    driver,
    subgroupSize,
    version: report.version,
    variants: Object.fromEntries(Object.entries(report.variants).filter(([name]) => operations.has(name))),
    choices: Object.fromEntries(choices.sort(([a], [b]) => (a < b ? -1 : 1))),
  };
}

if (import.meta.url === new URL(argv[1] ?? "", "file:").href) {
  const [reportFile, family, driver, gain] = argv.slice(2);
  if (reportFile === undefined || family === undefined || driver === undefined) {
    console.error("usage: node scripts/known_adapter.mjs REPORT.json FAMILY DRIVER_PATTERN [GAIN]");
    exit(2);
  }
  const table = new URL("../engine/tune/known_adapters.json", import.meta.url);
  const { format, families } = JSON.parse(await readFile(table, "utf8"));
  const entry = entryOf(
    JSON.parse(await readFile(reportFile, "utf8")),
    family,
    driver,
    gain === undefined ? undefined : Number(gain),
  );
  const kept = families.filter((one) => one.family !== family);
  await writeFile(table, `${JSON.stringify({ format, families: [...kept, entry] }, undefined, 2)}\n`);
  console.log(
    `${family}: ${Object.keys(entry.choices).length} choices; npx biome format --write engine/tune/known_adapters.json`,
  );
}

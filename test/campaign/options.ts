import { join } from "node:path";
import { parseArgs } from "node:util";
import { root } from "./places.ts";

/** What the campaign is to do. */
export interface CampaignOptions {
  readonly seed: number;
  readonly minutes: number;
  /** Mutated files over all readers. */
  readonly files: number;
  readonly kills: number;
  readonly losses: number;
  /** Full disks: rounds over all commands that write. */
  readonly disks: number;
  /** Readers that take part; all but the planted one unless given. */
  readonly readers: readonly string[] | undefined;
  /** One file of one reader, or one case of a part, is repeated. */
  readonly only: number | undefined;
  readonly limitSeconds: number;
  /** Memory of a process that reads files, beyond which a file is a fault. */
  readonly mostBytes: number;
  /** Results are damaged before they are compared: proves that a difference is seen. */
  readonly plant: boolean;
  readonly fresh: boolean;
  readonly folder: string;
}

const defaults = { minutes: 90, files: 120_000, kills: 110, losses: 24, disks: 2 } as const;

export const usage = `usage: npm run campaign -- [options]

  --minutes N    longest time (${defaults.minutes})
  --seed N       of all random numbers; the same seed goes on where an earlier run with it stopped (default: drawn)
  --fresh        with --seed, begin again
  --files N      mutated files over all readers (${defaults.files}); 0 leaves the part out, as below
  --kills N      processes ended by a signal (${defaults.kills})
  --losses N     devices lost (${defaults.losses})
  --disks N      rounds over all commands that write, each on a full disk (${defaults.disks})
  --readers A,B  readers that take part
  --only I       with --readers A and --seed: read that file again and keep it; else the case of that number of each part
  --limit S      seconds that one file may take (30)
  --memory MIB   memory that a process which reads files may take (1536)
  --work FOLDER  where everything is kept (.cache/campaign/SEED)
  --plant        plants faults, which must be found`;

/** @throws Error for options that there are not */
export function campaignOptions(args: readonly string[]): CampaignOptions {
  const names = [
    "minutes",
    "seed",
    "files",
    "kills",
    "losses",
    "disks",
    "readers",
    "only",
    "limit",
    "memory",
    "work",
  ] as const;
  const strings = Object.fromEntries(names.map((name) => [name, { type: "string" } as const]));
  const { values } = parseArgs({
    args: [...args],
    options: { ...strings, fresh: { type: "boolean" }, plant: { type: "boolean" } },
  });
  const text = (name: string): string | undefined => {
    const value = Object.entries(values).find(([key]) => key === name)?.[1];
    return typeof value === "string" ? value : undefined;
  };
  const number = (name: string, otherwise: number): number => {
    const value = Number(text(name) ?? otherwise);
    if (Number.isFinite(value) && value >= 0) return value;
    throw new Error(`campaign: --${name} is ${text(name)}, expected a number from 0 on`);
  };
  const seed = number("seed", Math.floor(2 ** 31 * Math.random()));
  return {
    seed,
    minutes: number("minutes", defaults.minutes),
    files: number("files", defaults.files),
    kills: number("kills", defaults.kills),
    losses: number("losses", defaults.losses),
    disks: number("disks", defaults.disks),
    readers: text("readers")?.split(","),
    only: text("only") === undefined ? undefined : number("only", 0),
    limitSeconds: number("limit", 30),
    mostBytes: 2 ** 20 * number("memory", 1536),
    plant: values.plant === true,
    fresh: values.fresh === true,
    folder: text("work") ?? join(root, ".cache/campaign", String(seed)),
  };
}

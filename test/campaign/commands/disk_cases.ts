import { join } from "node:path";
import type { Training, Trainings } from "./trainings.ts";

/** A command that writes, on a disk of its own. All names are relative to that disk. */
export interface DiskCase {
  readonly name: string;
  readonly write: (disk: string) => readonly string[];
  /** How to go on once there is space, where a run was begun; the same command again unless given. */
  readonly resume?: (disk: string) => readonly string[];
  /** Milliseconds that a run which takes long is gone on with, before a signal ends it; to its end unless given. */
  readonly goesOnMs?: number;
  /** Files whose bytes are the same whenever the command is right. */
  readonly same: readonly string[];
  /** Files that differ between right commands, because they tell the time. */
  readonly other: readonly string[];
  /** Whether an older output stands there, which must stay whole. */
  readonly replaces: boolean;
  /** Bytes that the command needs; measured unless given, by a command that has room. */
  readonly neededBytes?: number;
  /** How often the disk is full, where the command takes long. */
  readonly moments?: number;
  /** A command that goes on without what it cannot write, and says so in these words. */
  readonly goesOn?: RegExp;
  /** stdout goes to the first of the files. */
  readonly toStdout?: boolean;
}

const words = (text: string): string[] => text.split(" ");

/** Every command that writes. `search`, `knn`, `layers` and `doctor` write nothing but stdout, as `inspect` stands for here. */
export async function diskCases({ weights, images, training }: Trainings): Promise<readonly DiskCase[]> {
  const [refine, pretrain, finetune] = [
    await training("refine"),
    await training("pretrain"),
    await training("finetune"),
  ];
  const embed = (ending: string): DiskCase => ({
    name: `embed ${ending}`,
    write: (disk) => ["embed", "--weights", weights, "--images", images, "--out", join(disk, `f.${ending}`), "--force"],
    same: [`f.${ending}`, `f.${ending}.files.tsv`, ...(ending === "npy" ? ["f.npy.json"] : [])],
    other: [],
    replaces: true,
  });
  const convert = (ending: string): DiskCase => ({
    name: `convert ${ending}`,
    write: (disk) => ["convert", weights, join(disk, `w.${ending}`), "--force"],
    same: [`w.${ending}`],
    other: [],
    replaces: true,
  });
  const bench = (name: string, options: string, parts: Partial<DiskCase>): DiskCase => ({
    name,
    write: (disk) => [
      ...words(`bench --batch 1 --repeats 1 ${options}`),
      ...(parts.other ?? []).flatMap((file) => [file.endsWith("html") ? "--report" : "--out", join(disk, file)]),
      "--force",
    ],
    same: [],
    other: [],
    replaces: true,
    ...parts,
  });
  return [
    ...[refine, pretrain, finetune].map(trainingCase),
    {
      name: "predict",
      write: (disk) => [
        ...["predict", images, "--weights", join(finetune.base, finetune.result), "--out", join(disk, "p.csv")],
        ...words("--workers 0 --force"),
      ],
      same: ["p.csv"],
      other: [],
      replaces: true,
    },
    ...["npy", "safetensors", "parquet"].map(embed),
    ...["safetensors", "pth"].map(convert),
    {
      name: "config",
      write: (disk) => ["config", "small", "--out", join(disk, "small.yaml"), "--force"],
      same: ["small.yaml"],
      other: [],
      replaces: true,
    },
    {
      name: "evaluate linear",
      write: (disk) => [
        ...["evaluate", "linear", "--weights", weights, "--images", images, "--out", join(disk, "run")],
        ...words("--epochs 2 --batch 16 --rates 0.1 --sources last1 --checkpoint-minutes 0.0000000001 --workers 0"),
      ],
      resume: (disk) => ["evaluate", "linear", "--resume", join(disk, "run")],
      same: ["run/receipt.json", "run/head.safetensors"],
      other: ["run/config.json"],
      replaces: false,
    },
    {
      name: "evaluate knn",
      write: (disk) => [
        ...["evaluate", "knn", "--weights", weights, "--images", images, "--predictions", join(disk, "knn.csv")],
        ...words("-k 3 --workers 0 --force"),
      ],
      same: ["knn.csv"],
      other: [],
      replaces: true,
    },
    {
      name: "report",
      write: (disk) => ["report", refine.base, "--out", join(disk, "report.html"), "--force"],
      same: ["report.html"],
      other: [],
      replaces: true,
    },
    {
      name: "stdout",
      write: () => ["inspect", weights, "--json"],
      same: ["stdout.json"],
      other: [],
      replaces: false,
      toStdout: true,
    },
    bench("bench", "--no-tune", { other: ["bench.json", "bench.html"], neededBytes: 8192, moments: 1 }),
    {
      name: "tuning cache",
      write: () => words("bench --tune --batch 1 --repeats 1"),
      same: [],
      other: [],
      replaces: false,
      neededBytes: 4096,
      moments: 1,
      goesOn: /cannot be kept/,
    },
    {
      name: "demo",
      write: (disk) => ["demo", "--out", join(disk, "demo")],
      resume: (disk) => ["refine", "--resume", join(disk, "demo")],
      same: [],
      goesOnMs: 30_000,
      other: ["demo/config.json"],
      replaces: false,
      neededBytes: 6e6,
      moments: 1,
    },
  ];
}

function trainingCase({ name, begin, resume, result }: Training): DiskCase {
  return {
    name,
    write: (disk) => begin(join(disk, "run")),
    resume: (disk) => resume(join(disk, "run")),
    same: [`run/${result}`],
    other: ["run/metrics.jsonl", "run/config.json"],
    replaces: false,
  };
}

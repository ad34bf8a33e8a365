import { readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";

/** One row of the table. */
export interface Tally {
  /** Cases that were begun, and the place from which a later run goes on. */
  next: number;
  tried: number;
  /** Ended in an error that says what is wrong. */
  refused: number;
  /** Read, or gone on with to the right end. */
  good: number;
  faults: number;
  seconds: number;
  /** By what came out. */
  outcomes: Record<string, number>;
  slowestMs: number;
  peakBytes: number;
}

/** A fault, with all that repeats it. */
export interface Finding {
  readonly part: string;
  readonly index: number;
  readonly kind: string;
  readonly text: string;
}

interface Kept {
  readonly seed: number;
  readonly tallies: Record<string, Tally>;
  readonly findings: Finding[];
}

/** What a campaign has done, kept after every case so that it can be gone on with. */
export class Ledger {
  private constructor(
    readonly folder: string,
    readonly kept: Kept,
  ) {}

  static async open(folder: string, seed: number): Promise<Ledger> {
    const text = await readFile(join(folder, "ledger.json"), "utf8").catch(() => undefined);
    const kept: Kept | undefined = text === undefined ? undefined : JSON.parse(text);
    return new Ledger(folder, kept?.seed === seed ? kept : { seed, tallies: {}, findings: [] });
  }

  tally(part: string): Tally {
    const { tallies } = this.kept;
    const counts = { next: 0, tried: 0, refused: 0, good: 0, faults: 0, seconds: 0 };
    tallies[part] ??= { ...counts, outcomes: {}, slowestMs: 0, peakBytes: 0 };
    return tallies[part];
  }

  get tallies(): readonly (readonly [part: string, tally: Tally])[] {
    return Object.entries(this.kept.tallies);
  }

  get findings(): readonly Finding[] {
    return this.kept.findings;
  }

  /** Tells a fault at once, and keeps it. */
  report(finding: Finding, repeat: string): void {
    this.kept.findings.push(finding);
    this.tally(finding.part).faults++;
    console.log(
      `FAULT ${finding.part}, seed ${this.kept.seed}, index ${finding.index}: ${finding.kind}: ${finding.text}\n  repeat: npm run campaign -- --seed ${this.kept.seed} ${repeat}`,
    );
  }

  async save(): Promise<void> {
    const part = join(this.folder, `.ledger.${Math.random()}.part`);
    await writeFile(part, JSON.stringify(this.kept, null, 1));
    await rename(part, join(this.folder, "ledger.json"));
  }
}

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll } from "vitest";
import { runCli } from "../../cli/run_cli.ts";

export interface CommandResult {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** Runs a command line in this process and collects what it prints. */
export async function run(...args: readonly string[]): Promise<CommandResult> {
  const out: string[] = [];
  const err: string[] = [];
  const streams = { out: (text: string) => out.push(text), err: (text: string) => err.push(text), isTerminal: false };
  const code = await runCli(args, {
    ...streams,
    out: (text) => void out.push(text),
    err: (text) => void err.push(text),
  });
  return { code, out: out.join(""), err: err.join("") };
}

/** A folder that is removed after the tests of the file. */
export async function temporaryFolder(): Promise<(name: string) => string> {
  const folder = await mkdtemp(join(tmpdir(), "mimrefine-test-"));
  afterAll(() => rm(folder, { recursive: true, force: true }));
  return (name) => join(folder, name);
}

import { spawn } from "node:child_process";
import process from "node:process";
import { cli } from "../places.ts";

/** A command that has ended. */
export interface Ended {
  /** Exit code, or the signal that ended it. */
  readonly code: number | string;
  readonly out: string;
  readonly err: string;
  readonly seconds: number;
}

export interface CommandOptions {
  /** Beside those of this process. */
  readonly environment?: Readonly<Record<string, string>>;
  /** Of Node, before the command's file. */
  readonly nodeOptions?: readonly string[];
  /** Called with what sends a signal, once the process is started. */
  readonly started?: (kill: (signal: NodeJS.Signals) => void) => void;
  /** A file that stdout goes to. */
  readonly stdout?: number;
}

/** Longest time that a command of the campaign may take; the demo on a busy machine is the longest. */
const limitMs = 900_000;

/** Runs the built command as a process. A command that does not end is ended, with the code `hang`. */
export function command(args: readonly string[], options: CommandOptions = {}): Promise<Ended> {
  const { environment = {}, nodeOptions = [], started, stdout = "pipe" } = options;
  const start = performance.now();
  const child = spawn(process.execPath, [...nodeOptions, cli, ...args], {
    stdio: ["ignore", stdout, "pipe"],
    env: { ...process.env, ...environment },
  });
  const text = { out: "", err: "" };
  child.stdout?.on("data", (chunk: Buffer) => {
    text.out += String(chunk);
  });
  child.stderr?.on("data", (chunk: Buffer) => {
    text.err += String(chunk);
  });
  let isHung = false;
  const limit = setTimeout(() => {
    isHung = true;
    child.kill("SIGKILL");
  }, limitMs);
  started?.((signal) => child.kill(signal));
  return new Promise((resolve) => {
    child.on("close", (code, signal) => {
      clearTimeout(limit);
      const seconds = (performance.now() - start) / 1000;
      resolve({ code: isHung ? "hang" : (code ?? signal ?? "nothing"), ...text, seconds });
    });
  });
}

/** What a command said last, in one line. */
export function lastWords({ code, err }: Ended): string {
  const lines = err
    .trim()
    .split("\n")
    .filter((line) => !/^Warning: max|software adapter/.test(line));
  return `exit ${code}: ${lines.slice(-3).join(" | ").slice(-600)}`;
}

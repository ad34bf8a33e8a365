#!/usr/bin/env node
import process from "node:process";
import { removeTemporaries } from "../engine/platform/temporary_files_node.ts";
import { runCli } from "./run_cli.ts";

process.on("exit", removeTemporaries);
for (const [name, code] of [
  ["SIGINT", 130],
  ["SIGTERM", 143],
] as const)
  process.on(name, () => {
    if (process.listenerCount(name) === 1) process.exit(code); // else the command itself ends in good order
  });

// A reader that has seen enough, such as `head`, is no error.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE") process.exit(0);
  throw error;
});

const code = await runCli(
  process.argv.slice(2),
  {
    out: (text) => void process.stdout.write(text),
    err: (text) => void process.stderr.write(text),
    isTerminal: process.stderr.isTTY === true,
  },
  Boolean(process.env.MIMREFINE_DEBUG),
);
// The driver's threads would keep the process alive.
process.exit(code);

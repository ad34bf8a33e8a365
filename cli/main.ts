#!/usr/bin/env node
import process from "node:process";
import { runCli } from "./run.ts";

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

#!/usr/bin/env node
import process from "node:process";
import { removeTemporaries } from "../engine/platform/temporary_files_node.ts";
import { ProcessStreams } from "./output/process_streams.ts";
import { signalCodes, signalNames } from "./program/interrupt.ts";
import { endProcess } from "./program/ranks.ts";
import { runCli } from "./run_cli.ts";

/** After a signal, how long a reader that takes nothing is waited for. */
const patienceMs = 10_000;

process.on("exit", removeTemporaries);
// The driver's threads would keep the process alive, so it ends itself.
const streams = new ProcessStreams(process.stdout, process.stderr, endProcess);
for (const name of signalNames)
  process.on(name, () => {
    if (process.listenerCount(name) > 1) return; // the command itself ends in good order
    if (!streams.isEnding) void streams.end(signalCodes[name], patienceMs);
    else if (name !== "SIGHUP") endProcess(signalCodes[name]);
  });
process.on("uncaughtException", (error) => {
  streams.err(`${error.stack ?? String(error)}\n`);
  void streams.end(1);
});

void streams.end(await runCli(process.argv.slice(2), streams, Boolean(process.env.MIMREFINE_DEBUG)));

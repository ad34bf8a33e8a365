import process from "node:process";
import { endProcess } from "./ranks.ts";

/** Exit codes of the signals that end a command: 128 + the signal's number, as shells report it. */
export const signalCodes = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 } as const;

/** What launchers pass on without ending the ranks a moment later, as they do after the others: it counts as SIGTERM. */
const patientSignal = "SIGUSR1";
/** A launcher and the terminal may both send a rank the same signal. */
const repetitionMs = 500;

type SignalName = keyof typeof signalCodes;

export const signalNames: readonly SignalName[] = ["SIGHUP", "SIGINT", "SIGTERM"];

/** A signal that ends a long command after its current update, and the exit code that says which one it was. */
export interface Interruption {
  readonly signal: AbortSignal;
  /** 129 after SIGHUP, 130 after SIGINT, 143 after SIGTERM, undefined if none came. */
  readonly exitCode: () => number | undefined;
  readonly stop: () => void;
}

/**
 * Listens for SIGINT, SIGTERM and SIGHUP (a closed terminal); a second signal ends the process at once. SIGHUP does not count
 * for that: it comes twice, from the system and from the shell, when a terminal is closed.
 *
 * @param isRank - whether a launcher started this process with others; SIGUSR1 then ends the command, too
 */
export function listenForInterruption(notice: (text: string) => void, isRank = false): Interruption {
  const controller = new AbortController();
  let code: number | undefined;
  let firstMs = Number.POSITIVE_INFINITY;
  const handler = (name: SignalName | typeof patientSignal): void => {
    const sinceMs = performance.now() - firstMs;
    if (sinceMs >= (isRank ? repetitionMs : 0) && name !== "SIGHUP") endProcess(code ?? signalCodes.SIGTERM);
    if (name !== "SIGHUP") firstMs = Math.min(firstMs, performance.now());
    if (code !== undefined) return;
    code = signalCodes[name === patientSignal ? "SIGTERM" : name];
    notice(`${name}: finishing this update, then saving; once more ends at once`);
    controller.abort();
  };
  const names = [...signalNames, ...(isRank ? [patientSignal] : [])];
  for (const name of names) process.on(name, handler);
  return {
    signal: controller.signal,
    exitCode: () => code,
    stop: () => {
      for (const name of names) process.off(name, handler);
    },
  };
}

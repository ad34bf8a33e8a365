import process from "node:process";

/** Exit codes of the signals that end a command: 128 + the signal's number, as shells report it. */
export const signalCodes = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 } as const;

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
 */
export function listenForInterruption(notice: (text: string) => void): Interruption {
  const controller = new AbortController();
  let code: number | undefined;
  let isUrgent = false;
  const handler = (name: SignalName): void => {
    if (isUrgent && name !== "SIGHUP") process.exit(code);
    isUrgent ||= name !== "SIGHUP";
    if (code !== undefined) return;
    code = signalCodes[name];
    notice(`${name}: finishing this update, then saving; once more ends at once`);
    controller.abort();
  };
  for (const name of signalNames) process.on(name, handler);
  return {
    signal: controller.signal,
    exitCode: () => code,
    stop: () => {
      for (const name of signalNames) process.off(name, handler);
    },
  };
}

import process from "node:process";

/** A signal that ends a long command after its current update, and the exit code that says which one it was. */
export interface Interruption {
  readonly signal: AbortSignal;
  /** 130 after SIGINT, 143 after SIGTERM, undefined if neither came. */
  readonly exitCode: () => number | undefined;
  readonly stop: () => void;
}

/** Listens for SIGINT and SIGTERM; a second signal ends the process at once. */
export function listenForInterruption(notice: (text: string) => void): Interruption {
  const controller = new AbortController();
  let code: number | undefined;
  const handler = (name: "SIGINT" | "SIGTERM") => (): void => {
    if (code !== undefined) process.exit(code);
    code = name === "SIGINT" ? 130 : 143; // 128 + the signal's number, as shells report it
    notice(`${name}: finishing this update, then saving; once more ends at once`);
    controller.abort();
  };
  const handlers = { SIGINT: handler("SIGINT"), SIGTERM: handler("SIGTERM") };
  process.on("SIGINT", handlers.SIGINT);
  process.on("SIGTERM", handlers.SIGTERM);
  return {
    signal: controller.signal,
    exitCode: () => code,
    stop: () => {
      process.off("SIGINT", handlers.SIGINT);
      process.off("SIGTERM", handlers.SIGTERM);
    },
  };
}

/** What the process returns; scripts may rely on it. Signals that end it have codes of their own: see `signalCodes`. */
export const exitCodes = {
  success: 0,
  /** The command failed: bad input, no adapter, a check that did not pass. */
  failure: 1,
  /** The command line itself is wrong: unknown option, missing argument, value out of range. */
  usage: 2,
} as const;

/** The same for the help text. */
export const exitCodeHelp =
  "Exit codes: 0 success; 1 the command failed (the reason is on stderr); 2 the command line is wrong; 129, 130, 143 ended by SIGHUP, SIGINT, SIGTERM.";

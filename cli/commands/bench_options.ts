import type { Command } from "commander";
import { UsageError } from "../program/usage_error.ts";

const withKernel: ReadonlySet<string> = new Set(["--show-kernel", "--json", "--quiet"]);
const withAdapter: ReadonlySet<string> = new Set(
  "--gpu-report,--budget,--only,--force,--json,--quiet,--adapter,--robust,--no-tune,--seed".split(","),
);
const onlyWithAdapter: ReadonlySet<string> = new Set(["--budget", "--only"]);

/** @throws UsageError for an option that `bench` would ignore beside the others */
export function refuseIgnoredOptions(command: Command): void {
  const given = command.options.flatMap((option) => {
    const value: unknown = command.getOptionValue(option.attributeName());
    const isGiven =
      command.getOptionValueSource(option.attributeName()) === "cli" && option.negate === (value === false);
    return isGiven ? [option.long ?? option.flags] : [];
  });
  const refuse = (isIgnored: (flag: string) => boolean, why: string): void => {
    const ignored = given.find(isIgnored);
    if (ignored !== undefined) throw new UsageError(`bench: ${ignored} ${why}`);
  };
  if (given.includes("--show-kernel")) {
    refuse(
      (flag) => !withKernel.has(flag),
      "cannot stand beside --show-kernel, which prints a kernel and measures nothing",
    );
  } else if (given.includes("--gpu-report")) {
    refuse((flag) => !withAdapter.has(flag), "is about one step and cannot stand beside --gpu-report");
  } else {
    refuse((flag) => onlyWithAdapter.has(flag), "is about --gpu-report; give it together with --gpu-report FILE");
  }
}

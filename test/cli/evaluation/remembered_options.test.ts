import { resolve } from "node:path";
import { Command } from "commander";
import { expect, it } from "vitest";
import { robustnessProtocol } from "../../../cli/evaluation/protocols/robustness_protocol.ts";
import { givenOptions } from "../../../cli/evaluation/remembered_options.ts";
import { createProgram } from "../../../cli/run_cli.ts";

/** Given anew, and a place inside a checkpoint. */
const notOnDisk = new Set(["out", "place"]);

/** Of what is written down as a path in a command's help, and given relative to this folder. */
it("remembers every path whole, so that a run goes on from any folder", () => {
  const streams = { out: () => {}, err: () => {}, isTerminal: false };
  const evaluate = createProgram({ streams, exitCode: 0 }).commands.find((command) => command.name() === "evaluate");
  const protocols = evaluate?.commands.filter((command) =>
    command.options.some(({ long }) => long === "--predictions"),
  );
  expect(protocols?.length).toBeGreaterThan(7);
  let compared = 0;
  for (const protocol of protocols ?? []) {
    for (const option of protocol.options) {
      const name = option.attributeName();
      if (!/<(file|folder|path)s?(\.\.\.)?>/.test(option.flags) || notOnDisk.has(name)) continue;
      const command = new Command().addOption(option).exitOverride();
      command.parse([option.long ?? "", "a"], { from: "user" });
      const whole = resolve("a");
      compared++;
      expect(givenOptions(command)[name], `${protocol.name()} ${option.flags}`).toEqual(
        option.variadic ? [whole] : whole,
      );
    }
  }
  // Each has at least --weights, --images, --test, --compare, --predictions and --confusion.
  expect(compared).toBeGreaterThanOrEqual(6 * (protocols?.length ?? 0));
});

it("a preset that makes corruptions does not mix them with a folder's", async () => {
  const options = { preset: "small", corrupted: "imagenet-c", make: ["all"] };
  const checked = Promise.resolve(
    robustnessProtocol.check?.(Object.assign(Object.create(null), options), new Command()),
  );
  await expect(checked).rejects.toThrow("--preset small makes its corruptions");
});

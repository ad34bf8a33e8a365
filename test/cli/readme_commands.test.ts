import { readFile } from "node:fs/promises";
import type { Command } from "commander";
import { expect, it } from "vitest";
import { createProgram } from "../../cli/run_cli.ts";

const streams = { out: () => {}, err: () => {}, isTerminal: false };

/** Lines of shell in the README that call a command, without `npx mimrefine`. */
async function commandLines(): Promise<string[]> {
  const text = await readFile(new URL("../../README.md", import.meta.url), "utf8");
  const blocks = [...text.matchAll(/```sh\n(.*?)```/gs)].flatMap(([, block = ""]) => block.split("\n"));
  return blocks.flatMap((line) => /^npx mimrefine (.*)$/.exec(line)?.[1] ?? []);
}

/** The command that a line names, and the words after its name. */
function commandOf(line: string): { readonly command: Command; readonly rest: readonly string[] } {
  let command = createProgram({ streams, exitCode: 0 });
  let rest = line.split(" ");
  for (;;) {
    const next = command.commands.find((one) => one.name() === rest[0]);
    if (!next) return { command, rest };
    command = next;
    rest = rest.slice(1);
  }
}

it.each(await commandLines())("the README's line is one that the program takes: %s", (line) => {
  const { command, rest } = commandOf(line);
  expect(command.parent, `${line} names no command`).not.toBeNull();
  expect(command.commands, `${line} names a group of commands`).toEqual([]);
  const { operands, unknown } = command.parseOptions([...rest]);
  expect(unknown).toEqual([]);
  const { registeredArguments } = command;
  const most = registeredArguments.some(({ variadic }) => variadic)
    ? Number.POSITIVE_INFINITY
    : registeredArguments.length;
  expect(operands.length).toBeLessThanOrEqual(most);
  expect(operands.length).toBeGreaterThanOrEqual(registeredArguments.filter(({ required }) => required).length);
});

it("the README shows every command", async () => {
  const text = await readFile(new URL("../../README.md", import.meta.url), "utf8");
  const names = createProgram({ streams, exitCode: 0 })
    .commands.map((command) => command.name())
    .filter((name) => name !== "help");
  for (const name of names) expect(text).toContain(`| \`mimrefine ${name}`);
});

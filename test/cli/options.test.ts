import { writeFile } from "node:fs/promises";
import { describe, expect, it } from "vitest";
import { oldSpellings } from "../../cli/program/old_spellings.ts";
import { createProgram } from "../../cli/run_cli.ts";
import { acting } from "../packaging/public_surface.ts";
import { run, temporaryFolder } from "./run_command.ts";

const at = await temporaryFolder();
const streams = { out: () => {}, err: () => {}, isTerminal: false };
const commands = createProgram({ streams, exitCode: 0 }).commands.flatMap(acting);

describe("an option of several commands", () => {
  const uses = commands.flatMap((command) =>
    command.options.filter(({ hidden }) => !hidden).map((option) => ({ command: command.name(), option })),
  );
  const names = [...new Set(uses.map(({ option }) => option.long ?? option.flags))];
  /** What is written is a file or a run folder. */
  const kinds = (name: string): number => (name === "--out" ? 2 : 1);

  it.each(names)("has one form, parser, description and set of choices: %s", (name) => {
    const found = uses.filter(({ option }) => option.long === name);
    const forms = found.map(({ option: { flags, description, argChoices } }) =>
      JSON.stringify([flags, description.split(/;| \(default/)[0], argChoices]),
    );
    expect(new Set(forms).size, forms.join("\n")).toBeLessThanOrEqual(kinds(name));
    // Settings have none: their schema checks them. Choices have one each.
    const parsers = found.flatMap(({ option: { parseArg, argChoices } }) => (argChoices ? [] : (parseArg ?? [])));
    expect(new Set(parsers).size).toBeLessThanOrEqual(1);
  });
});

describe("a former name of an option", () => {
  const renamed = Object.entries(oldSpellings).flatMap(([command, names]) =>
    Object.entries(names).map(([old, now]) => ({ command, old, now })),
  );
  const rest: Readonly<Record<string, readonly string[]>> = {
    refine: ["--weights", at("none.pth"), "--images", at("none"), "--out", at("run")],
    knn: ["--weights", at("none.pth"), "--images", at("none")],
    layers: ["--weights", at("none.pth"), "--images", at("none")],
    search: [at("none.png"), "--index", at("none.npy"), "--weights", at("none.pth")],
    embed: ["--weights", at("none.pth"), "--images", at("none"), "--out", at("out.npy")],
    inspect: [at("none.pth")],
    convert: [at("none.pth"), at("out.safetensors")],
  };
  const values: Readonly<Record<string, string>> = { "--heads": "3", "--temperature": "0.5", "--pooling": "avg" };

  it.each(renamed)("works in $command, with a notice and hidden from the help: $old", async ({ command, old, now }) => {
    const used = await run(command, ...(rest[command] ?? []), old, values[old] ?? "");
    expect([used.code, used.err]).toEqual([1, expect.stringContaining("no such file or folder")]);
    const notice = `${old} is now called ${now}; the old name still works\n`;
    expect(used.err.startsWith(notice)).toBe(true);
    const quiet = await run(command, ...(rest[command] ?? []), old, values[old] ?? "", "--quiet");
    expect(quiet.err).not.toContain("is now called");
    expect((await run(command, "--help")).out).not.toMatch(new RegExp(`${old}[ ,]`));
  });

  it.each(renamed)("sets what the new one sets, and is checked alike: $command $old", ({ command: name, old, now }) => {
    const program = createProgram({ streams, exitCode: 0 });
    const command = program.commands.find((one) => one.name() === name);
    const option = command?.options.find(({ long }) => long === now);
    command?.parseOptions([old, values[old] ?? ""]);
    const set = command?.getOptionValue(option?.attributeName() ?? "");
    expect([String(set), command?.getOptionValueSource(option?.attributeName() ?? "")]).toEqual([values[old], "cli"]);
    if (option?.parseArg) expect(() => command?.parseOptions([old, "x"])).toThrow();
  });
});

describe("a wrong setting", () => {
  const inputs = ["--weights", at("none.pth"), "--images", at("none")];
  const settings = async (text: string) => {
    await writeFile(at("run.yaml"), text);
    return ["--config", at("run.yaml")];
  };

  it.each([
    ["--batch", "12x", 'batch is "12x" (--batch, key batch): expected a whole number of at least 1'],
    ["--batch", "0", "batch is 0 (--batch, key batch): expected a whole number of at least 1"],
    ["--flip", "2", "flip is 2 (--flip, key flip): expected a number from 0 to 1"],
    ["--pool", "max", 'pooling is "max" (--pool, key pooling): expected one of cls, avg'],
    ["-k", "0", "k is 0 (--k, key k): expected a whole number of at least 1"],
    ["--top-k", "300", "topK is 300 (--top-k, key topK): expected a whole number from 1 to 256"],
    [
      "--heads",
      "3,lst",
      'element 2 of heads is "lst" (--heads, key heads): expected a whole number of at least 0, or last',
    ],
    [
      "--global-area",
      "0.5",
      "globalArea is [0.5] (--global-area, key globalArea): expected a list of 2, each a number from 0 to 1",
    ],
    ["--workers", "all", 'workers is "all" (--workers, key workers): expected a whole number from 0 to 256, or auto'],
  ])("of the command line is shown with option and key: %s %s", async (flag, value, text) => {
    expect(await run("refine", ...inputs, flag, value)).toEqual({ code: 2, out: "", err: `error: refine: ${text}\n` });
  });

  it.each([
    [
      "batch: 12x",
      () => `batch is "12x" (--batch, key batch in ${at("run.yaml")}): expected a whole number of at least 1`,
    ],
    ["oracle: 1", () => `oracle is 1 (--oracle, key oracle in ${at("run.yaml")}): expected true or false`],
    [
      "blur: [1, 2, 0]",
      () => `element 2 of blur is 2 (--blur, key blur in ${at("run.yaml")}): expected a number from 0 to 1`,
    ],
    [
      "heads: lst",
      () =>
        `element 1 of heads is "lst" (--heads, key heads in ${at("run.yaml")}): expected a whole number of at least 0, or last`,
    ],
    ["bacth: 1", () => `${at("run.yaml")}: there is no setting bacth; did you mean batch?`],
  ])("of a file is shown with the file: %s", async (text, expected) => {
    const { code, err } = await run("refine", ...inputs, ...(await settings(text)));
    expect([code, err]).toEqual([2, `error: refine: ${expected()}\n`]);
  });

  it("of the command line does not blame the file, which it overrules", async () => {
    const { err } = await run("refine", ...inputs, ...(await settings("batch: 16")), "--batch", "0");
    expect(err).toContain("batch is 0 (--batch, key batch): ");
  });

  it("of pretrain is shown in the same way", async () => {
    const { code, err } = await run("pretrain", "--images", at("none"), "--mask-ratio", "1");
    const text = "pretrain: maskRatio is 1 (--mask-ratio, key maskRatio): expected a number above 0 and below 1";
    expect([code, err]).toEqual([2, `error: ${text}\n`]);
  });
});

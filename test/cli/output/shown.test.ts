import { expect, it } from "vitest";
import { Output } from "../../../cli/output/streams.ts";
import { shown, shownText } from "../../../engine/core/shown.ts";

const name = "a\u001b[2J\u0007\u009b\u202eb\tc\nd\u007f";

it("shows foreign names without their effect on a terminal", () => {
  expect(shown(name)).toBe("a\\u001b[2J\\u0007\\u009b\\u202eb\\tc\\nd\\u007f");
  expect(shownText("a\tb\nc\u001b")).toBe("a\tb\nc\\u001b");
  expect(shown("Käse 猫 😀 \\")).toBe("Käse 猫 😀 \\");
});

it("prints nothing that a terminal obeys, and JSON that reads back", () => {
  for (const json of [false, true]) {
    const written: string[] = [];
    const write = (text: string): void => void written.push(text);
    const output = new Output({ out: write, err: write, isTerminal: false }, { json, quiet: false });
    output.line(name);
    output.notice(name);
    output.warning(name);
    output.table([[name, name]]);
    output.pairs([[name, name]]);
    output.result({ name });
    expect(written.join("")).toMatch(/^[\n\t\x20-\x7e]*$/);
    if (json) expect(JSON.parse(written.at(-1) ?? "")).toEqual({ name });
  }
});

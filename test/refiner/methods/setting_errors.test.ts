import { describe, expect, it } from "vitest";
import { z } from "zod";
import { OptionError } from "../../../engine/index.ts";
import { pretrainConfig, refineConfig, SettingsError } from "../../../refiner/index.ts";
import { parseConfig } from "../../../refiner/methods/setting_errors.ts";

describe("a wrong setting of refine", () => {
  it.each<[Record<string, unknown>, string]>([
    [{ batch: "12x" }, 'batch is "12x": expected a whole number of at least 1'],
    [{ batch: 0 }, "batch is 0: expected a whole number of at least 1"],
    [{ batch: 1.5 }, "batch is 1.5: expected a whole number of at least 1"],
    [{ batch: null }, "batch is null: expected a whole number of at least 1"],
    [{ batch: Number.NaN }, "batch is NaN: expected a whole number of at least 1"],
    [{ batch: Number.POSITIVE_INFINITY }, "batch is Infinity: expected a whole number of at least 1"],
    [{ topK: 257 }, "topK is 257: expected a whole number from 1 to 256"],
    [{ flip: -0.1 }, "flip is -0.1: expected a number from 0 to 1"],
    [{ temperature: 0 }, "temperature is 0: expected a number above 0"],
    [{ layerDecay: 2 }, "layerDecay is 2: expected a number above 0 and of at most 1"],
    [{ oracle: "yes" }, 'oracle is "yes": expected true or false'],
    [{ pooling: "max" }, 'pooling is "max": expected one of cls, avg'],
    [{ workers: "all" }, 'workers is "all": expected a whole number from 0 to 256, or auto'],
    [{ heads: 3 }, "heads is 3: expected a list of at least 1, each a whole number of at least 0, or last"],
    [{ heads: [] }, "heads is []: expected a list of at least 1, each a whole number of at least 0, or last"],
    [{ heads: [3, "lst"] }, 'element 2 of heads is "lst": expected a whole number of at least 0, or last'],
    [{ globalArea: [1] }, "globalArea is [1]: expected a list of 2, each a number from 0 to 1"],
    [{ globalArea: [0, 0, 1] }, "globalArea is [0,0,1]: expected a list of 2, each a number from 0 to 1"],
    [{ globalArea: [0, 2] }, "element 2 of globalArea is 2: expected a number from 0 to 1"],
    [{ blur: [1, "a", 0] }, 'element 2 of blur is "a": expected a number from 0 to 1'],
    [{ bacth: 1 }, "there is no setting bacth; did you mean batch?"],
    [
      { batch: 0, flip: 2 },
      "batch is 0: expected a whole number of at least 1; flip is 2: expected a number from 0 to 1",
    ],
  ])("is shown with what was expected: %j", (settings, text) => {
    expect(() => refineConfig(settings)).toThrow(SettingsError);
    expect(() => refineConfig(settings)).toThrow(OptionError);
    expect(() => refineConfig(settings)).toThrow(expect.objectContaining({ message: `refine: ${text}` }));
  });
});

it("a limit that excludes its own value is said so, and the method is named", () => {
  expect(() => pretrainConfig({ maskRatio: 1 })).toThrow(
    "pretrain: maskRatio is 1: expected a number above 0 and below 1",
  );
});

it("a refinement says itself what it expects", () => {
  const schema = z.strictObject({ even: z.int().refine((value) => value % 2 === 0, "expected an even number") });
  expect(() => parseConfig(schema, { even: 3 })).toThrow("settings: even is 3: expected an even number");
  const both = z
    .strictObject({ from: z.int(), to: z.int() })
    .refine(({ from, to }) => from < to, "from is not below to");
  expect(() => parseConfig(both, { from: 2, to: 1 }, "range")).toThrow("range: from is not below to");
});

it("what is no settings at all is shown", () => {
  expect(() => parseConfig(z.strictObject({ a: z.int() }), [1], "refine")).toThrow(
    "refine: the settings are [1]: expected values by name, such as { batch: 256 }",
  );
});

it("a long value is cut", () => {
  const heads = Array.from({ length: 100 }, () => -1);
  expect(() => refineConfig({ batch: heads })).toThrow(/^refine: batch is \[[-1,]{79}…: expected a whole number/);
});

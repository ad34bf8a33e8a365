import { readFile } from "node:fs/promises";
import { describe, expect, it } from "vitest";
import type { DeviceInfo } from "../../../engine/core/device_parts.ts";
import * as engine from "../../../engine/index.ts";
import { variantNames } from "../../../engine/ops/choose_variant.ts";
import { type AdapterFamily, shippedChoices } from "../../../engine/tune/known_adapters.ts";
import { recordings } from "../ops/variant_recordings.ts";

const info: DeviceInfo = {
  name: "a card",
  type: "discrete",
  backend: "vulkan",
  driver: "maker: 12.3.4",
  vendor: "maker",
  architecture: "first",
};
const device = { info, subgroupSize: 32 };
const softmax = [...variantNames("softmax")];
const family: AdapterFamily = {
  family: "cards",
  vendor: "maker",
  architecture: "first",
  driver: "^maker: 12\\.",
  subgroupSize: 32,
  version: "0.0.0",
  variants: { softmax },
  choices: { "softmax rows 64 columns 64": "workgroup" },
};

describe("the choices for a known adapter", () => {
  it("are those of its family", () => {
    expect(engine.softmax).toBeDefined(); // its module declares the variants
    expect(shippedChoices(device, [family])).toEqual([["softmax rows 64 columns 64", "workgroup"]]);
  });

  it.each([
    ["vendor", { vendor: "other" }],
    ["architecture", { architecture: "second" }],
    ["driver", { driver: "maker: 11.0" }],
  ])("are not those of another %s", (_, change) => {
    expect(shippedChoices({ ...device, info: { ...info, ...change } }, [family])).toEqual([]);
  });

  it("are not those of an adapter with other subgroups", () => {
    expect(shippedChoices({ info, subgroupSize: undefined }, [family])).toEqual([]);
  });

  it("leave out a variant or an operation that does not exist", () => {
    const choices = { "softmax a": "none_such", "none_such a": "workgroup", "softmax b": "invocation" };
    const variants = { softmax, none_such: ["workgroup"] };
    expect(shippedChoices(device, [{ ...family, variants, choices }])).toEqual([["softmax b", "invocation"]]);
  });

  it("leave out an operation that has a variant which was not compared", () => {
    expect(shippedChoices(device, [{ ...family, variants: { softmax: ["workgroup"] } }])).toEqual([]);
  });
});

it("the table of the package has the form of a table, with choices of operations that exist", async () => {
  const file = new URL("../../../engine/tune/known_adapters.json", import.meta.url);
  const { format, families } = JSON.parse(await readFile(file, "utf8"));
  expect(format).toBe(1);
  for (const { family: name, driver, variants, choices } of families as AdapterFamily[]) {
    expect(() => new RegExp(driver), name).not.toThrow();
    for (const [key, choice] of Object.entries(choices)) {
      const [operation = ""] = key.split(" ");
      expect(Object.keys(recordings), key).toContain(operation);
      expect(variants[operation], key).toContain(choice);
    }
  }
});

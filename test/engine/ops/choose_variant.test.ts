import { afterEach, describe, expect, it } from "vitest";
import type { TuningRequest } from "../../../engine/core/recording.ts";
import { Program, recordProgram, type Tensor } from "../../../engine/index.ts";
import { bucket, defineVariants, type Variant } from "../../../engine/ops/choose_variant.ts";
import { roundOff, valuesOf } from "../../../engine/testing/index.ts";
import { testDevice } from "../../device.ts";
import { recordings } from "./variant_recordings.ts";

const device = await testDevice();
function requestOf(operation: string): TuningRequest | undefined {
  device.tuning.requests.clear();
  recordings[operation]?.(new Program(device));
  return [...device.tuning.requests.values()].find((request) => request.operation === operation);
}

/** Sums of up to 512 products of normal draws and what follows them, in units of the largest result. */
const bound = 4 * 512 * roundOff;

describe.each(Object.keys(recordings))("%s", (operation) => {
  it("asks for a measurement", () => {
    const { candidates = [], others = [] } = requestOf(operation) ?? {};
    expect(candidates.length).toBeGreaterThan(0);
    expect(new Set([...candidates, ...others]).size).toBe(candidates.length + others.length);
  });

  it("has an example that runs each candidate for itself, with the same results", { timeout: 120_000 }, async () => {
    const request = requestOf(operation);
    const launches: string[] = [];
    let expected: Record<string, ArrayLike<number>> | undefined;
    for (const name of [...(request?.candidates ?? []), ...(request?.others ?? [])]) {
      const recorded = recordProgram(device, (p) => named(request?.example(p, name) ?? []));
      launches.push(launchesOf(recorded.program));
      const results = await (await recorded.run(inputsOf(recorded.program), Object.keys(recorded.outputs))).read();
      recorded.destroy();
      expected ??= results;
      expect(Object.keys(results).length).toBeGreaterThan(0);
      for (const [result, values] of Object.entries(results)) expectAgreement(name, values, expected[result] ?? []);
    }
    expect(new Set(launches).size).toBe(launches.length);
  });
});

function named(results: readonly Tensor[]): Record<string, Tensor> {
  return Object.fromEntries(results.map((result, i) => [`result${i}`, result]));
}

function inputsOf(program: Program): Record<string, ArrayLike<number>> {
  const entries = [...program.inputs].map(([name, x], i): [string, ArrayLike<number>] => [
    name,
    x.dtype === "f32" ? valuesOf("normal", i + 1, x.size) : Uint32Array.from({ length: x.size }, (_, at) => at % 3),
  ]);
  return Object.fromEntries(entries);
}

function launchesOf(program: Program): string {
  const launches = program.commands.map((command) =>
    command.type === "dispatch"
      ? [command.kernel.name, command.workgroups, command.options.constants, command.options.declarations]
      : command.type,
  );
  return JSON.stringify(launches);
}

function expectAgreement(name: string, actual: ArrayLike<number>, expected: ArrayLike<number>): void {
  const values = Array.from(expected);
  const largest = Math.max(...values.map(Math.abs));
  const error = Math.max(...values.map((value, i) => Math.abs(value - (actual[i] ?? Number.NaN))));
  expect(largest).toBeGreaterThan(0);
  expect(error, name).toBeLessThanOrEqual(bound * largest);
}

describe("the choice", () => {
  afterEach(() => device.tuning.force("choice", undefined));
  interface Named extends Variant<number> {
    readonly name: string;
  }
  const even: Named = {
    name: "even",
    unsupported: (_, length) => (length % 2 === 0 ? undefined : "the length is odd"),
  };
  const all: readonly Named[] = [even, { name: "any" }, { name: "spare" }];
  const examples: string[] = [];
  const choose = defineVariants<number, Named>({
    operation: "choice",
    variants: all,
    deviates: ({ name }: Named) => (name === "spare" ? "it is spare" : undefined),
    order: () => ["even", "any"],
    shapeClass: (length) => `${bucket(length)}`,
    example: (program, { name }) => {
      examples.push(name);
      return [program.input("x", [1])];
    },
  });
  const request = () => device.tuning.requests.get("choice 8");

  it("takes the first of the order that runs", () => {
    expect([choose(device, 8).name, choose(device, 7).name]).toEqual(["even", "any"]);
  });

  it("leaves what cannot run to no measurement, and spares to those who ask for them", () => {
    choose(device, 8);
    expect(request()).toMatchObject({ candidates: ["even", "any"], others: ["spare"] });
    choose(device, 7);
    expect(request()).toMatchObject({ candidates: ["any"], others: ["spare"] });
  });

  it("takes what was forced where that runs", () => {
    device.tuning.force("choice", "spare");
    expect(choose(device, 8).name).toBe("spare");
    device.tuning.force("choice", "even");
    expect([choose(device, 8).name, choose(device, 7).name]).toEqual(["even", "any"]);
  });

  it("takes what was remembered where that runs", () => {
    device.tuning.load([["choice 16", "spare"]]);
    expect(choose(device, 9).name).toBe("spare");
    device.tuning.load([["choice 16", "even"]]);
    expect([choose(device, 10).name, choose(device, 9).name]).toEqual(["even", "any"]);
  });

  it("refuses a forced name of no variant", () => {
    device.tuning.force("choice", "evne");
    expect(() => choose(device, 8)).toThrow("choice: no variant is called evne; choose from even, any, spare");
  });

  it("names the reason where an example is asked for a variant that does not run", () => {
    choose(device, 7);
    expect(() => request()?.example(new Program(device), "even")).toThrow(
      "choice: variant even does not run here (the length is odd); choose from any, spare",
    );
  });
});

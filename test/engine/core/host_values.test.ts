import { describe, expect, it } from "vitest";
import { add, DTypeError, OptionError, recordProgram, ShapeError } from "../../../engine/index.ts";
import { testDevice } from "../../device.ts";

const device = await testDevice();

describe("values from the host", () => {
  it("lists within lists have the shape that they show", async () => {
    const x = device.tensor([
      [1, 2, 3],
      [4, 5, 6],
    ]);
    expect(x.shape).toEqual([2, 3]);
    expect([...(await x.read())]).toEqual([1, 2, 3, 4, 5, 6]);
    expect(device.tensor([[[1]], [[2]]]).shape).toEqual([2, 1, 1]);
    expect(device.tensor([Float32Array.of(1, 2), [3, 4]]).shape).toEqual([2, 2]);
  });

  it("lists that do not fit together are refused", () => {
    expect(() => device.tensor([[1, 2], [3]])).toThrow(
      new ShapeError("tensor: list 1 has the shape [1] and list 0 [2]; expected equal ones"),
    );
    // @ts-expect-error: numbers beside lists, and what is no number, as plain JavaScript may give them
    expect(() => device.tensor([1, [2]])).toThrow(
      new DTypeError("tensor: element 1 is Array, expected a number; nested lists need equal lengths"),
    );
    // @ts-expect-error: as above
    expect(() => device.tensor(["1"])).toThrow("tensor: element 0 is 1, expected a number");
    // @ts-expect-error: as above
    expect(() => device.tensor([1, undefined])).toThrow("tensor: element 1 is undefined, expected a number");
  });

  it("typed arrays of every kind become the type that is asked for", async () => {
    for (const array of [Int8Array, Uint8Array, Uint8ClampedArray, Int16Array, Int32Array, Uint32Array, Float64Array])
      expect([...(await device.tensor(array.of(1, 2)).read())]).toEqual([1, 2]);
    expect([...(await device.tensor(BigInt64Array.of(1n, 2n), [2], "u32").read())]).toEqual([1, 2]);
    expect([...(await device.tensor(Uint8Array.of(7), [1], "i32").read())]).toEqual([7]);
    expect(() => device.tensor(Uint16Array.of(1))).toThrow(DTypeError); // bits of f16, most likely
    const halves = [[Uint16Array.of(0x3c00, 0x4000)], [Uint16Array.of(1, 2)]];
    expect(() => device.tensor(halves)).toThrow("got Uint16Array, which holds bits of f16");
    expect([...(await device.tensor(halves, [2, 1, 2], "f16").read())]).toEqual([0x3c00, 0x4000, 1, 2]);
  });

  it("numbers that an integer type does not hold are refused", () => {
    expect(() => device.tensor([1, -1], [2], "u32")).toThrow(
      new DTypeError("tensor: element 1 is -1, expected a whole number in 0 … 4294967295 for u32"),
    );
    expect(() => device.tensor([0.5], [1], "i32")).toThrow(DTypeError);
    expect(() => device.tensor(Float32Array.of(256), [1], "u8")).toThrow(DTypeError);
  });
});

it("a tensor shows its shape, type and device", () => {
  const x = device.zeros([2, 3], "u32");
  expect(String(x)).toBe(`Tensor [2, 3] u32 on ${device.info.name}`);
  for (const name of ["nodejs.util.inspect.custom", "Deno.customInspect"])
    expect(Reflect.get(x, Symbol.for(name)).call(x)).toBe(String(x));
});

describe("recordProgram", () => {
  const x = device.tensor([1]);

  it("refuses an async function", () => {
    // @ts-expect-error: plain JavaScript has no types that would tell, here and below
    expect(() => recordProgram(device, async () => ({ y: add(x, 1) }), { name: "step" })).toThrow(
      new OptionError(
        "step: the recording function is async, expected one that returns its outputs at once; read values before or after it",
      ),
    );
  });

  it("refuses results that are no tensors by name", () => {
    // @ts-expect-error: as above
    expect(() => recordProgram(device, () => undefined)).toThrow(
      "program: the recording function returned undefined, expected outputs by name, such as { y }",
    );
    // @ts-expect-error: as above
    expect(() => recordProgram(device, () => add(x, 1))).toThrow("program: the recording function returned a tensor");
    // @ts-expect-error: as above
    expect(() => recordProgram(device, () => [add(x, 1)])).toThrow("program: the recording function returned a list");
    // @ts-expect-error: as above
    expect(() => recordProgram(device, () => ({ loss: 3 }))).toThrow("program: the output loss is no tensor");
  });
});

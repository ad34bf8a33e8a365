import { expect, it } from "vitest";
import { recordProgram } from "../../../../engine/index.ts";
import { jitterCodes } from "../../../../refiner/data/views/parameter_table.ts";
import { viewsJitterKernel } from "../../../../refiner/data/views/view_kernels.ts";
import { testDevice } from "../../../device.ts";

const device = await testDevice();
const viewWords = 20;
/** Red, green and blue in the three lower bytes. */
const pixels = [0x102030, 0x804020, 0xff00c8, 0x7f7f80];

/** The pixels after one operation with the factor 0.5, or a hue moved by 77 / 255. */
async function jittered(code: number): Promise<number[]> {
  const words = new Uint32Array(viewWords);
  words[12] = code;
  words[13] = 77;
  new Float32Array(words.buffer).fill(0.5, 8, 11);
  const operands = {
    parameters: device.tensor(words, [viewWords], "u32"),
    pixels: device.tensor(pixels, [pixels.length], "u32"),
    jittered: device.zeros([pixels.length], "u32"),
  };
  const recorded = recordProgram(device, (p) => {
    p.dispatch(viewsJitterKernel, { firstRow: 0, batch: 1, count: pixels.length }, operands, [1]);
    return {};
  });
  await recorded.run({});
  const read = [...(await operands.jittered.read())];
  recorded.destroy();
  return read;
}

it("the shader has the codes of the parameter table, and a branch for each", () => {
  const { source } = viewsJitterKernel;
  const declared = [...source.matchAll(/^const (\w+) = (\d)u;/gm)].map(([, name, code]) => [name, Number(code)]);
  expect(Object.fromEntries(declared)).toEqual({ nothing: 0, ...jitterCodes });
  const branches = [...source.matchAll(/\(operation == (\w+)\)/g)].map(([, name]) => name);
  expect(branches).toEqual(["nothing", ...Object.keys(jitterCodes)]);
});

it("every operation changes the pixels in its own way, and 0 does not", async () => {
  expect(await jittered(0)).toEqual(pixels);
  const results = await Promise.all(Object.values(jitterCodes).map(jittered));
  expect(new Set([...results, pixels].map(String)).size).toBe(results.length + 1);
});

it("a code without an operation gives bits that no pixel has", async () => {
  for (const code of [5, 6, 255]) expect(await jittered(code)).toEqual(pixels.map(() => 0xffffffff));
});

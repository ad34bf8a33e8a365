import { expect, it } from "vitest";
import { cast, recordProgram } from "../../../engine/index.ts";
import { randomSource } from "../../../engine/testing/index.ts";
import { testDevice } from "../../device.ts";

const random = randomSource(7);
const unsigned = Uint32Array.from({ length: 4096 }, () => (random() * 2 ** 32) >>> Math.floor(random() * 24));
unsigned.set([0, 1, 0xffff, 0x10000, 2 ** 24 + 1, 2 ** 24 + 3, 2 ** 31, 2 ** 31 + 128, 2 ** 31 + 384, 2 ** 32 - 1]);

it.each(["interpreter", undefined])("whole numbers of all sizes become the nearest f32 (%s)", async (adapter) => {
  const device = await testDevice({ reproducible: true, ...(adapter ? { adapter } : {}) });
  const program = recordProgram(device, (p) => ({
    ofUnsigned: cast(p.input("unsigned", [4096], "u32"), "f32"),
    ofSigned: cast(p.input("signed", [4096], "i32"), "f32"),
  }));
  const signed = Int32Array.from(unsigned);
  const { ofUnsigned, ofSigned } = await (await program.run({ unsigned, signed }, ["ofUnsigned", "ofSigned"])).read();
  expect(ofUnsigned).toEqual(Float32Array.from(unsigned));
  expect(ofSigned).toEqual(Float32Array.from(signed));
  program.destroy();
});

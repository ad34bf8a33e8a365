import fc from "fast-check";
import { expect, it } from "vitest";
import { DTypeError } from "../../../engine/index.ts";
import { countNonFinite } from "../../../engine/ops/count_non_finite.ts";
import { oddLength } from "../../../engine/testing/index.ts";
import { testDevice } from "../../device.ts";

const device = await testDevice({ canaries: true });
const bad = [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
const badHalves = [0x7e00, 0x7c00, 0xfc00, 0xfe01];

it("every NaN and infinity is counted, whatever stands beside it", async () => {
  await fc.assert(
    fc.asyncProperty(oddLength(257), fc.infiniteStream(fc.nat(9)), async (size, stream) => {
      const values = Float32Array.from([...stream.take(size)], (choice) => bad[choice] ?? (choice - 6) * 3e38);
      const [count] = await countNonFinite(device.tensor(values)).read();
      expect(count).toBe(values.filter((value) => !Number.isFinite(value)).length);
    }),
    { numRuns: 15 },
  );
});

it("f16 elements are counted by their own bits, and the padding of an odd size is not", async () => {
  await fc.assert(
    fc.asyncProperty(oddLength(129), fc.infiniteStream(fc.nat(9)), async (size, stream) => {
      const halves = Uint16Array.from([...stream.take(size)], (choice) => badHalves[choice] ?? 0x7bff);
      const [count] = await countNonFinite(device.tensor(halves, [size], "f16")).read();
      expect(count).toBe(halves.filter((half) => (half & 0x7c00) === 0x7c00).length);
    }),
    { numRuns: 10 },
  );
});

it("integers are refused", () => {
  expect(() => countNonFinite(device.zeros([4], "u32"))).toThrow(DTypeError);
});

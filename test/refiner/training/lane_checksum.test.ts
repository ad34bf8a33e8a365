import fc from "fast-check";
import { expect, it } from "vitest";
import { laneChecksum, plainMixer, vectorMixer } from "../../../refiner/training/lane_checksum.ts";

const blocks = fc.uint8Array({ minLength: 64, maxLength: 1024 }).map((bytes) => bytes.subarray(0, bytes.length & ~63));

it("mixes by vector instructions what numbers of JavaScript mix", () => {
  fc.assert(
    fc.property(blocks, fc.uint8Array({ minLength: 64, maxLength: 64 }), (bytes, start) => {
      const lanes = [vectorMixer(), plainMixer()].map((mixer) => {
        mixer?.lanes.set(new Uint32Array(start.slice().buffer));
        mixer?.room.set(bytes);
        mixer?.mix(bytes.length);
        return mixer?.lanes;
      });
      expect(lanes[0]).toEqual(lanes[1]);
      expect(lanes[0]).toBeDefined();
    }),
  );
});

it("is another one after any change of one byte, of two highest bits, and of the length", () => {
  const size = (1 << 20) + 70; // two chunks, the second one no whole block
  const bytes = new Uint8Array(size).map((_, i) => Math.imul(i, 2654435761) >>> 24);
  const whole = laneChecksum(bytes);
  expect(laneChecksum(bytes.slice())).toBe(whole);
  const position = fc.integer({ min: 0, max: size - 1 });
  fc.assert(
    fc.property(position, fc.integer({ min: 1, max: 255 }), (at, flipped) => {
      const changed = bytes.slice();
      changed[at] = (changed[at] ?? 0) ^ flipped;
      expect(laneChecksum(changed)).not.toBe(whole);
    }),
    { numRuns: 30 },
  );
  fc.assert(
    fc.property(position, position, (one, other) => {
      fc.pre(one >> 2 !== other >> 2);
      const changed = bytes.slice();
      for (const at of [one, other]) changed[at | 3] = (changed[at | 3] ?? 0) ^ 128;
      expect(laneChecksum(changed)).not.toBe(whole);
    }),
    { numRuns: 30 },
  );
  const lengths = [0, 1, 63, 64, 65].map((length) => laneChecksum(new Uint8Array(length)));
  expect(new Set(lengths).size).toBe(lengths.length);
});

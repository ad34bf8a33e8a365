import fc from "fast-check";
import { expect, it } from "vitest";
import { Arena, recordProgram, ShapeError, type Tensor } from "../../../engine/index.ts";
import { hostTensorHash, tensorHashes } from "../../../engine/ops/tensor_hash.ts";
import { oddLength } from "../../../engine/testing/index.ts";
import { testDevice } from "../../device.ts";

const device = await testDevice();

async function hashesOf(arenas: readonly Arena[], single: readonly Tensor[]): Promise<number[][]> {
  const recorded = recordProgram(device, (program) => ({ hashes: tensorHashes(program, arenas, single) }));
  const { hashes } = await (await recorded.run({}, ["hashes"])).read();
  recorded.destroy();
  return Array.from({ length: hashes.length / 2 }, (_, i) => [...hashes.subarray(2 * i, 2 * i + 2)]);
}

it("the device and the host give one hash, wherever a tensor lies", async () => {
  await fc.assert(
    fc.asyncProperty(oddLength(300), oddLength(150), fc.infiniteStream(fc.nat(0xffffffff)), async (a, b, stream) => {
      const words = [a, b].map((size) => Uint32Array.from([...stream.take(size)]));
      const entries = words.map((list, i) => ({ name: `t${i}`, shape: [list.length] }));
      const [forward, backward] = [entries, entries.toReversed()].map(
        (list) => new Arena(device, "arena", list, "u32"),
      );
      if (!forward || !backward) throw new Error("no arena");
      for (const arena of [forward, backward])
        for (const [i, list] of words.entries()) device.write(arena.get(`t${i}`), list);
      const single = words.map((list) => device.tensor(list, [list.length], "u32"));
      const expected = words.map((list) => [...hostTensorHash(list)]);
      expect(await hashesOf([forward, backward], single)).toEqual([...expected, ...expected.toReversed(), ...expected]);
      for (const state of [forward, backward, ...single]) state.destroy();
    }),
    { numRuns: 8 },
  );
});

it("every flipped bit changes both lanes, and so do two words that changed places", () => {
  fc.assert(
    fc.property(
      fc.array(fc.nat(0xffffffff), { minLength: 2, maxLength: 80 }),
      fc.nat(),
      fc.nat(31),
      (list, at, bit) => {
        const words = Uint32Array.from(list);
        const place = at % words.length;
        const [low, high] = hostTensorHash(words);
        const flipped = hostTensorHash(words.with(place, (words[place] ?? 0) ^ (1 << bit)));
        expect(flipped[0]).not.toBe(low);
        expect(flipped[1]).not.toBe(high);
        const [first = 0, last = 0] = [words[0], words.at(-1)];
        const swapped = hostTensorHash(words.with(0, last).with(-1, first));
        expect(String(swapped) === String([low, high])).toBe(first === last);
      },
    ),
    { numRuns: 2000 },
  );
});

it("the values of 16-bit elements count with the place they have in a word", async () => {
  const halves = Uint16Array.of(1, 2, 3);
  const [hash] = await hashesOf([], [device.tensor(halves, [3], "f16")]);
  expect(hash).toEqual([...hostTensorHash(Uint32Array.of(0x20001, 3))]);
});

it("nothing, and arenas of 16-bit elements, are refused", () => {
  const half = new Arena(device, "half", [{ name: "x", shape: [4] }], "f16");
  const record = (arenas: readonly Arena[]) => () =>
    recordProgram(device, (program) => ({ hashes: tensorHashes(program, arenas, []) }));
  expect(record([])).toThrow(ShapeError);
  expect(record([half])).toThrow(/tensorHashes: half holds f16; give arenas of elements of four bytes/);
  half.destroy();
});

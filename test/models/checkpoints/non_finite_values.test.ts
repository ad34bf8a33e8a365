import fc from "fast-check";
import { expect, test } from "vitest";
import {
  hostTensor,
  memorySink,
  memorySource,
  openCheckpoint,
  TensorItem,
  writeSafetensors,
} from "../../../engine/files/index.ts";
import { checkedReader } from "../../../models/checkpoints/assemble_parameters.ts";

async function warningsOf(values: Float32Array): Promise<string[]> {
  const sink = memorySink();
  await writeSafetensors(sink, new Map([["w", TensorItem.of(hostTensor("f32", [values.length], values))]]));
  const checkpoint = await openCheckpoint(memorySource(sink.bytes(), "w.safetensors"));
  const warnings: string[] = [];
  await checkedReader(checkpoint, warnings)("w");
  await checkpoint.close();
  return warnings;
}

test("a load report counts the values that are not finite, wherever they lie", async () => {
  const place = fc.tuple(fc.nat(9999), fc.constantFrom(Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY));
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 1, max: 10_000 }), fc.array(place, { maxLength: 5 }), async (length, bad) => {
      const values = new Float32Array(length).map((_, i) => (i % 2 === 0 ? 3e38 : -1e-45));
      for (const [at, value] of bad) values[at % length] = value;
      const count = new Set(bad.map(([at]) => at % length)).size;
      const told = `w: ${count} of ${length} values are NaN or infinite; the features will be, too`;
      expect(await warningsOf(values)).toEqual(count > 0 ? [told] : []);
    }),
  );
});

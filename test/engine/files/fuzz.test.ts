import { expect, test } from "vitest";
import { fuzz, fuzzFormats } from "./fuzz.ts";

// The long run of 20 000 and more files of each format is `fuzz_main.ts`; this one keeps watch.
for (const format of fuzzFormats) {
  test(`400 mutated ${format} files are read or refused with a typed error, in little memory`, async () => {
    const report = await fuzz(format, 400, 2024);
    expect(Object.values(report.outcomes).reduce((sum, count) => sum + count, 0)).toBe(400);
    expect(Object.keys(report.outcomes).length).toBeGreaterThanOrEqual(4); // the mutations reach different checks
    expect(report.outcomes.read).toBeGreaterThan(0);
    // No view may be more than 64 MiB larger than what the file holds, and the originals are of a few KiB.
    expect(report.largestTensorBytes).toBeLessThanOrEqual(65 * 2 ** 20);
  });
}

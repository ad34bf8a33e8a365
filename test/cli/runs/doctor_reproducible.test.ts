// On every adapter that the suite runs on: the bits are those of the package.
import { expect, it } from "vitest";
import { checkHashes } from "../../../engine/self_check/index.ts";
import { testDevice } from "../../device.ts";
import { run } from "../run_command.ts";

const device = await testDevice();

it("doctor --reproducible finds the bits of the package", { timeout: 120_000 }, async () => {
  const { code, out } = await run("doctor", "--reproducible", "--json", "--quiet");
  const { hashes, pass } = JSON.parse(out);
  expect(hashes.filter((row: { pass: boolean }) => !row.pass)).toEqual([]);
  expect([code, pass, hashes.length]).toEqual([0, true, 25]);
});

it("names what has other bits: a device in the default mode rounds products and exponentials otherwise", {
  timeout: 120_000,
}, async () => {
  const rows = await checkHashes(device);
  const different = rows.filter(({ pass }) => !pass).map((row) => row.case);
  expect(different).toContain("exp");
  expect(different).not.toContain("gather");
  expect(different).not.toContain("random");
});

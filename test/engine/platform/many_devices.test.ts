import { readdirSync } from "node:fs";
import process from "node:process";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { expect, it } from "vitest";
import { mul, openDevice, recordProgram } from "../../../engine/index.ts";

const count = (what: "task" | "fd"): number => readdirSync(`/proc/self/${what}`).length;

setFlagsFromString("--expose-gc");
/** A closed device's own thread ends once its object is collected. */
const collect: () => void = runInNewContext("gc");

async function openUseAndClose(robust: boolean): Promise<void> {
  const device = await openDevice({ notice: () => {}, robust });
  const program = recordProgram(device, (p) => ({ y: mul(p.input("x", [4]), 2) }));
  const { y } = await (await program.run({ x: [1, 2, 3, 4] }, ["y"])).read();
  expect(Array.from(y)).toEqual([2, 4, 6, 8]);
  device.close();
}

it.skipIf(process.platform !== "linux")(
  "20 devices more leave no threads and no files",
  { timeout: 120_000 },
  async () => {
    for (const robust of [false, true]) await openUseAndClose(robust);
    const before = [count("task"), count("fd")];
    for (let i = 0; i < 20; i++) await openUseAndClose(i % 4 === 3);
    await expect
      .poll(
        () => {
          collect();
          return [count("task"), count("fd")].map((now, i) => Math.max(0, now - (before[i] ?? 0)));
        },
        { timeout: 5000 },
      )
      .toEqual([0, 0]);
  },
);

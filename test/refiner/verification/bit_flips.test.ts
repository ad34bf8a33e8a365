// Single flipped bits, at random places of the state and moments of an update. `MIMREFINE_FLIPS=1000 npx vitest run FILE` is the
// campaign: on lavapipe it found 1,000 of 1,000 (test/refiner/verification/README.md).
import process from "node:process";
import { expect, it } from "vitest";
import { randomSource } from "../../../engine/testing/index.ts";
import { MemoryRunStore } from "../../../refiner/training/run_store.ts";
import { StateDifferenceError } from "../../../refiner/training/state_difference_error.ts";
import { testDevice } from "../../device.ts";
import { type Faults, flipBit, smallRun, tensorsOf } from "./small_run.ts";

const device = await testDevice();
const flips = Number(process.env.MIMREFINE_FLIPS ?? 12);
const updates = 6;

it(`tells each of ${flips} flipped bits by its tensor`, { timeout: 60_000 + 2000 * flips }, async () => {
  const random = randomSource(7);
  const below = (bound: number): number => Math.floor(random() * bound);
  const missed: string[] = [];
  for (let flip = 0; flip < flips; flip++) {
    const [at, moment, choice, bit] = [1 + below(updates - 1), below(3), random(), below(2 ** 30)];
    let name = "";
    const inject = async (method: Parameters<typeof tensorsOf>[0]): Promise<void> => {
      const tensors = tensorsOf(method);
      const [chosen, tensor] = tensors[Math.floor(choice * tensors.length)] ?? [];
      if (chosen === undefined || tensor === undefined) throw new Error("no tensor");
      name = chosen;
      await flipBit(tensor, bit);
    };
    const faults: Faults =
      moment === 0
        ? { atRest: async ({ total }, method) => (total === at ? inject(method) : undefined) }
        : {
            computed: async ({ total }, method, attempt) =>
              total === at && attempt === moment ? inject(method) : undefined,
          };
    const told = await smallRun(device, new MemoryRunStore(), {
      settings: { recheck: 100, gradientPart: 4 },
      faults,
    }).catch((error: unknown) => error);
    const isFound = told instanceof StateDifferenceError && told.tensors.join() === name;
    if (!isFound) missed.push(`${name}, bit ${bit}, moment ${moment}, update ${at}: ${String(told)}`);
  }
  expect(missed).toEqual([]);
});

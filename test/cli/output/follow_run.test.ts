import { expect, it } from "vitest";
import { Output } from "../../../cli/output/streams.ts";
import { followRun } from "../../../cli/runs/follow_run.ts";
import type { PretrainEvent } from "../../../refiner/index.ts";

it("lets a run give free what it holds when what begins it fails", async () => {
  let isHeld = true;
  async function* held(): AsyncGenerator<PretrainEvent, void> {
    try {
      yield { kind: "notice", text: "begins" };
    } finally {
      isHeld = false;
    }
  }
  const streams = { out: () => undefined, err: () => undefined, isTerminal: false };
  const clear = (): void => {
    throw new Error("the disk is full");
  };
  const following = followRun(held(), new Output(streams, { json: false, quiet: true }), { clear });
  await expect(following).rejects.toThrow("the disk is full");
  expect(isHeld).toBe(false);
});

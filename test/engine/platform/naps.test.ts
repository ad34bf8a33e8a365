import { expect, it } from "vitest";
import { Naps } from "../../../engine/platform/naps_node.ts";

const after = (milliseconds: number): Promise<string> =>
  new Promise((resolve) => setTimeout(() => resolve("done"), milliseconds));

/** Naps that are noted instead of slept. */
function noted(): { readonly naps: Naps; readonly lengths: number[] } {
  const lengths: number[] = [];
  return { naps: new Naps((milliseconds) => lengths.push(milliseconds)), lengths };
}

it("naps until the promise is settled, a tenth of the time waited and half a millisecond at most", async () => {
  const { naps, lengths } = noted();
  const start = performance.now();
  expect(await naps.during(after(30))).toBe("done");
  const waited = performance.now() - start;
  expect(lengths.length).toBeGreaterThan(0);
  expect(Math.min(...lengths)).toBeGreaterThanOrEqual(0.05);
  expect(Math.max(...lengths)).toBeLessThanOrEqual(Math.min(0.5, waited / 10));
  const count = lengths.length;
  await after(10);
  expect(lengths.length).toBe(count);
});

it("naps again for a later promise, by the newest of several", async () => {
  const { naps, lengths } = noted();
  const long = naps.during(after(60));
  await after(20);
  const before = lengths.length;
  const start = performance.now();
  await naps.during(after(0));
  const waited = performance.now() - start; // by the first promise it would be 20 ms more
  expect(lengths.slice(before).filter((length) => length > waited / 10)).toEqual([]);
  await long;
  const between = lengths.length;
  await naps.during(after(20));
  expect(lengths.length).toBeGreaterThan(between);
});

it("does not nap while the event loop has other work", async () => {
  const { naps, lengths } = noted();
  let isBusy = true;
  const work = (): void => {
    const end = performance.now() + 1;
    while (performance.now() < end);
    if (isBusy) setImmediate(work);
  };
  setImmediate(work);
  await naps.during(after(30));
  isBusy = false;
  expect(lengths).toEqual([]);
});

it("passes a rejection on", async () => {
  const { naps } = noted();
  await expect(naps.during(Promise.reject(new Error("lost")))).rejects.toThrow("lost");
});

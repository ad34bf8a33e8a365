import { beforeEach, describe, expect, it, vi } from "vitest";
import { Waiter } from "../../engine/waiter.ts";

/** Work that is done `milliseconds` after it was submitted; notes when its promise was asked for. */
function work(milliseconds: number): { readonly wait: () => Promise<void>; readonly askedAfter: () => number } {
  const start = performance.now();
  let asked = 0;
  const wait = async (): Promise<void> => {
    asked = performance.now() - start;
    const rest = start + milliseconds - performance.now();
    if (rest > 0) await new Promise<void>((resolve) => setTimeout(resolve, rest));
  };
  return { wait, askedAfter: () => asked };
}

async function askedAfter(waiter: Waiter, key: string, milliseconds: number): Promise<number> {
  const { wait, askedAfter: after } = work(milliseconds);
  const done = waiter.wait(key, wait);
  await vi.advanceTimersByTimeAsync(10 * milliseconds);
  await done;
  return after();
}

describe("the waiter", { timeout: 10_000 }, () => {
  let waiter: Waiter;
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ["setTimeout", "performance"] });
    waiter = new Waiter();
    return () => vi.useRealTimers();
  });

  it("asks at once until it has seen two waits, then sleeps for half of the shorter one", async () => {
    expect(await askedAfter(waiter, "step", 100)).toBe(0);
    expect(await askedAfter(waiter, "step", 60)).toBe(0);
    expect(await askedAfter(waiter, "step", 80)).toBe(30);
  });

  it("does not sleep where the work takes a few milliseconds: latency matters more there", async () => {
    for (let i = 0; i < 4; i++) expect(await askedAfter(waiter, "step", 6)).toBe(0);
  });

  it("expects nothing of work under another name", async () => {
    for (let i = 0; i < 3; i++) await askedAfter(waiter, "long", 100);
    expect(await askedAfter(waiter, "short", 10)).toBe(0);
  });

  it("sleeps less after it has slept too long", async () => {
    for (let i = 0; i < 3; i++) await askedAfter(waiter, "step", 100);
    const slept = [];
    for (let i = 0; i < 5; i++) slept.push(Math.floor(await askedAfter(waiter, "step", 10)));
    expect(slept).toEqual([50, 12, 0, 0, 5]);
  });
});

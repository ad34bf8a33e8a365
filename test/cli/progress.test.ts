import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { Output } from "../../cli/output.ts";
import { formatSeconds, Progress } from "../../cli/progress.ts";

beforeEach(() => void vi.useFakeTimers({ toFake: ["performance"] }));
afterEach(() => void vi.useRealTimers());

function watched(isTerminal: boolean, quiet = false) {
  const shown: string[] = [];
  const streams = { out: () => undefined, err: (text: string) => void shown.push(text), isTerminal };
  return { shown, progress: new Progress(new Output(streams, { json: false, quiet }), 400, "updates", 100) };
}

it("redraws a bar with rate and time left in one line of a terminal, and takes it away at the end", () => {
  const { shown, progress } = watched(true);
  vi.advanceTimersByTime(100);
  progress.update(150); // too soon to show
  vi.advanceTimersByTime(9_900);
  progress.update(200);
  progress.end();
  expect(shown).toEqual([
    `\r\x1b[K${"█".repeat(10)}${"░".repeat(10)} 200 of 400 updates, 10.0/s, 20 s left`,
    "\r\x1b[K",
  ]);
  expect(shown[0]?.length).toBeLessThan(80);
});

it("prints plain lines every ten seconds elsewhere, and nothing when told to be quiet", () => {
  const [plain, quiet] = [watched(false), watched(false, true)];
  for (let second = 1; second <= 21; second++) {
    vi.advanceTimersByTime(1000);
    for (const { progress } of [plain, quiet]) progress.update(100 + second);
  }
  plain.progress.end();
  expect(plain.shown).toEqual([
    "110 of 400 updates, 1.0/s, 4 min 50 s left\n",
    "120 of 400 updates, 1.0/s, 4 min 40 s left\n",
  ]);
  expect(quiet.shown).toEqual([]);
});

it("writes durations for people", () => {
  expect([0.4, 59.4, 61, 3599.6, 7320, Number.POSITIVE_INFINITY].map(formatSeconds)).toEqual([
    "0 s",
    "59 s",
    "1 min 1 s",
    "1 h 0 min",
    "2 h 2 min",
    "?",
  ]);
});

import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { formatSeconds, Progress } from "../../../cli/output/progress.ts";
import { Output } from "../../../cli/output/streams.ts";
import { runCli } from "../../../cli/run_cli.ts";

beforeEach(() => void vi.useFakeTimers({ toFake: ["performance"] }));
afterEach(() => void vi.useRealTimers());

function watched(isTerminal: boolean, quiet = false) {
  const shown: string[] = [];
  const show = (text: string): void => void shown.push(text);
  const output = new Output({ out: show, err: show, isTerminal }, { json: false, quiet });
  return { shown, output, progress: new Progress(output, 400, "updates", 100) };
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

it.each(["line", "notice", "warning"] as const)("makes room for a %s while the bar stands there", (kind) => {
  const { shown, output, progress } = watched(true);
  vi.advanceTimersByTime(10_000);
  progress.update(200);
  output[kind]("saving");
  progress.end();
  expect(shown.slice(1)).toEqual(["\r\x1b[K", kind === "warning" ? "warning: saving\n" : "saving\n"]);
});

it("leaves an error alone in its line", async () => {
  const shown: string[] = [];
  const show = (text: string): void => void shown.push(text);
  await runCli(["config", "nothing"], { out: show, err: show, isTerminal: true });
  expect(shown).toEqual([expect.stringContaining("\r\x1b[Kerror: ")]);
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

import { expect, it } from "vitest";
import { judgeRanks } from "../../../cli/gpu_report/judge_ranks.ts";
import { Output } from "../../../cli/output/streams.ts";
import type { Exchange } from "../../../refiner/exchange/exchange.ts";
import { testDevice } from "../../device.ts";
import { localRanks } from "../../refiner/exchange/local_ranks.ts";

const device = await testDevice();

/** What the first of three ranks says, where the second one's exchanges are changed. */
async function judged(changed: (own: Exchange) => Partial<Exchange> = () => ({})) {
  const { exchanges } = localRanks(3);
  let text = "";
  const codes = exchanges.map(async (own, rank) => {
    const exchange = rank === 1 ? { ...own, ...changed(own) } : own;
    const streams = {
      err: () => undefined,
      out: (more: string) => {
        if (rank === 0) text += more;
      },
      isTerminal: false,
    };
    const context = { streams, args: [], exitCode: -1 };
    const output = new Output(streams, { json: false, quiet: false });
    await judgeRanks(device, { exchange, library: "none", pieces: 1 }, { context, output });
    return context.exitCode;
  });
  return { codes: await Promise.all(codes), text };
}

it("accepts exchanges that bring what they must, and names the others with their rank", {
  timeout: 30_000,
}, async () => {
  const right = await judged();
  expect(right.codes).toEqual([0, 0, 0]);
  expect(right.text).toContain("All exchanges of 3 ranks have their numbers.");
  const wrong = await judged(({ spread }) => ({ spread: async (part) => (await spread(part)).reverse() }));
  expect(wrong.codes).toEqual([1, 1, 1]);
  expect(wrong.text).toMatch(/1 .*WRONG: spread/);
});

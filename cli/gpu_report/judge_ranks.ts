import { hostname } from "node:os";
import { z } from "zod";
import { Arena, type Device } from "../../engine/index.ts";
import { sumArena, sumPieceElements } from "../../refiner/exchange/arena_sum.ts";
import type { Exchange } from "../../refiner/exchange/exchange.ts";
import { formatBytes, type Output } from "../output/streams.ts";
import type { CommandContext } from "../program/context.ts";
import { exitCodes } from "../program/exit_codes.ts";

const repeats = 3;
const texts = 20;

const rankSchema = z.object({
  host: z.string(),
  adapter: z.string(),
  driver: z.string(),
  library: z.string(),
  /** Exchanges whose numbers are not what they must be here. */
  wrong: z.array(z.string()),
});
/** A job, seen by one of its ranks. */
export interface RankedJob {
  readonly exchange: Exchange;
  /** Path and version of the MPI. */
  readonly library: string;
  /** Of the gradients that are summed. Default 8, 32 MiB */
  readonly pieces?: number;
}

type RankFindings = z.output<typeof rankSchema>;

/**
 * Says who the ranks of a job are, checks the numbers of every exchange, and measures the sum of gradients as training makes it: read
 * from the device, summed over ranks and written back, piece by piece.
 */
export async function judgeRanks(
  device: Device,
  { exchange, library, pieces = 8 }: RankedJob,
  { context, output }: { readonly context: CommandContext; readonly output: Output },
): Promise<void> {
  const { size } = exchange;
  const wrong = await wrongExchanges(exchange);
  const { seconds, isRight } = await measuredSum(device, exchange, pieces * sumPieceElements);
  if (!isRight) wrong.push("sum of gradients on the device");
  const textSeconds = await measuredText(exchange);
  const { name: adapter, driver } = device.info;
  const own: RankFindings = { host: hostname(), adapter, driver, library, wrong };
  const ranks = (await exchange.share(JSON.stringify(own))).map((text) => rankSchema.parse(JSON.parse(text)));
  output.line();
  output.table([
    ["rank", "host", "adapter", "driver", "exchanges"],
    ...ranks.map((rank, i) => [
      ...[String(i), rank.host, rank.adapter, rank.driver || "unknown"],
      rank.wrong.length === 0 ? "ok" : `WRONG: ${rank.wrong.join(", ")}`,
    ]),
  ]);
  for (const one of new Set(ranks.map((rank) => rank.library))) output.line(`MPI: ${one}`);
  const bytes = 4 * pieces * sumPieceElements;
  const wireBytes = Math.round((2 * (size - 1) * bytes) / size);
  output.line(
    `sum of ${formatBytes(bytes)} of gradients over ${size} ranks, read from the device and written back: ${(1000 * seconds).toFixed(0)} ms, ${formatBytes(Math.round(bytes / seconds))}/s; a ring sends ${formatBytes(wireBytes)} per rank, ${gigabits(wireBytes / seconds)} Gb/s (for refine --dry-run --ranks ${size} --bandwidth)`,
  );
  output.line(`a short text to all ranks: ${(1e6 * textSeconds).toFixed(0)} us`);
  const adapters = new Set(ranks.map((rank) => `${rank.adapter} ${rank.driver}`));
  if (adapters.size > 1)
    output.warning("adapters or drivers differ: their encoders may drift apart, and are compared in every checkpoint");
  const pass = ranks.every((rank) => rank.wrong.length === 0);
  output.line(
    pass ? `All exchanges of ${size} ranks have their numbers.` : "Exchanges are wrong: do not train on these ranks.",
  );
  output.result({ ranks, sum: { bytes, seconds, wireBytes }, textSeconds, pass });
  context.exitCode = pass ? exitCodes.success : exitCodes.failure;
}

/** Small whole numbers, whose sums are exact in any order. */
function numbersOf(rank: number, length: number): Float32Array<ArrayBuffer> {
  return Float32Array.from({ length }, (_, i) => (rank + 1) * (1 + (i % 89)));
}

/** Names of the exchanges that did not bring what they must, at this rank. */
async function wrongExchanges(exchange: Exchange): Promise<string[]> {
  const { rank, size } = exchange;
  const length = 1000; // of no ring's or tree's measure
  const all = Array.from({ length: size }, (_, i) => numbersOf(i, length));
  const own = numbersOf(rank, length);
  const joined = Float32Array.from(all.flatMap((values) => [...values]));
  const last = size - 1;
  const isSame = (found: ArrayLike<number> | undefined, expected: ArrayLike<number>): boolean =>
    found?.length === expected.length && Array.from(expected).every((value, i) => found[i] === value);

  const sums = own.slice();
  await exchange.sum(sums);
  const gathered = await exchange.gather(own, last);
  const scattered = await exchange.scatter(length, last, rank === last ? joined : undefined);
  const parts = Array.from({ length: size }, (_, to) => numbersOf(rank + size * to, length));
  const dealt = await exchange.deal(Float32Array.from(parts.flatMap((values) => [...values])));
  const spread = await exchange.spread(own);
  const text = "x".repeat(300) + rank; // longer than one message
  const told = await exchange.share(text);
  const bytes = Uint8Array.from({ length: 5000 }, (_, i) => (rank === last ? i & 255 : 0));
  await exchange.pass(bytes, { from: last, to: 0 });

  const expectedSums = own.map((_, i) => all.reduce((sum, values) => sum + (values[i] ?? 0), 0));
  const given = Array.from({ length: size }, (_, from) => [...numbersOf(from + size * rank, length)]).flat();
  const results: Record<string, boolean> = {
    sum: isSame(sums, expectedSums),
    gather: rank === last ? isSame(gathered, joined) : gathered === undefined,
    scatter: isSame(scattered, own),
    deal: isSame(dealt, given),
    spread: isSame(spread, joined),
    share: told.every((found, i) => found === "x".repeat(300) + i) && told.length === size,
    pass: rank > 0 || bytes.every((byte, i) => byte === (i & 255)),
  };
  return Object.entries(results).flatMap(([name, isRight]) => (isRight ? [] : [name]));
}

async function measuredSum(
  device: Device,
  exchange: Exchange,
  length: number,
): Promise<{ seconds: number; isRight: boolean }> {
  const arena = new Arena(device, "gradients", [{ name: "all", shape: [length] }]);
  try {
    const own = numbersOf(exchange.rank, length);
    const times: number[] = [];
    for (let repeat = 0; repeat <= repeats; repeat++) {
      device.write(arena.get("all"), own);
      await device.gpu.queue.onSubmittedWorkDone();
      await exchange.share("");
      const start = performance.now();
      await sumArena(arena, exchange);
      await device.gpu.queue.onSubmittedWorkDone();
      times.push((performance.now() - start) / 1000);
    }
    const ranks = (exchange.size * (exchange.size + 1)) / 2;
    const sums = await arena.get("all").read();
    return { seconds: median(times.slice(1)), isRight: own.every((_, i) => sums[i] === ranks * (1 + (i % 89))) };
  } finally {
    arena.destroy();
  }
}

async function measuredText(exchange: Exchange): Promise<number> {
  const times: number[] = [];
  for (let repeat = 0; repeat < texts; repeat++) {
    const start = performance.now();
    await exchange.share("stop save");
    times.push((performance.now() - start) / 1000);
  }
  return median(times);
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
}

function gigabits(bytesPerSecond: number): string {
  return ((8 * bytesPerSecond) / 1e9).toPrecision(2);
}

import { z } from "zod";
import type { Device } from "../../engine/index.ts";
import { type Exchange, fromFirst } from "../../refiner/exchange/exchange.ts";
import type { Interruption } from "../program/interrupt.ts";

const choicesSchema = z.array(z.tuple([z.string(), z.string()]));

/** Kernel variants of a run on several ranks: measured by the first one, since two measurements may differ. */
export function sharedTuning(
  device: Device,
  own: ((record: () => void) => Promise<void>) | undefined,
  exchange: Exchange,
): ((record: () => void) => Promise<void>) | undefined {
  if (exchange.size === 1) return own;
  return async (record) => {
    if (exchange.rank === 0) await own?.(record);
    const told = await fromFirst(exchange, JSON.stringify(device.tuning.entries()), { isPatient: true });
    device.tuning.load(choicesSchema.parse(JSON.parse(told)));
  };
}

/** How a run ended early, at all ranks: a signal may have reached one of them only. */
export async function agreedEnd(exchange: Exchange, interruption: Interruption): Promise<Interruption> {
  const codes = (await exchange.share(String(interruption.exitCode() ?? 0))).map(Number);
  const code = Math.max(...codes);
  return { ...interruption, exitCode: () => (code > 0 ? code : undefined) };
}

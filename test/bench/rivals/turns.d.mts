import type { Rival } from "./contestants/tfjs_evaluation.d.mts";

export function inTurns(
  works: Readonly<Record<string, (round: number) => Promise<void>>>,
  rounds: number,
): Promise<void>;
export function openRival(adapter: string): Promise<Rival | undefined>;

import type { Ledger, Tally } from "../ledger.ts";
import type { CampaignOptions } from "../options.ts";
import type { Trainings } from "./trainings.ts";

/** What the parts that run commands work with. */
export interface Lane {
  readonly options: CampaignOptions;
  readonly ledger: Ledger;
  readonly trainings: Trainings;
}

/** Counts what came out of a case. */
export function outcome({ outcomes }: Tally, name: string): void {
  outcomes[name] = (outcomes[name] ?? 0) + 1;
}

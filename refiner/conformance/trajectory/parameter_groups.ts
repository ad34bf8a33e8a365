import type { ArenaOptimizer } from "../../training/optimizer.ts";
import { learningRateAt, type Schedule } from "../../training/schedule.ts";
import { goldenBounds } from "../bounds.ts";
import type { GoldenCase } from "../fixture.ts";

/** The parameters of one optimiser, whose names in the file begin with a prefix. */
export interface TrainedGroup {
  readonly prefix: string;
  readonly optimizer: ArenaOptimizer;
  readonly schedule: Schedule;
}

/** The learning rate of every update and the weight decay of every parameter, as `param_groups` lists them. */
export function checkParameterGroups(golden: GoldenCase, trained: readonly TrainedGroup[]): void {
  const groups = golden.json.get("param_groups");
  for (const index of groups.keys()) {
    const [rates, decay] = [groups.get(index, "lr_per_update"), groups.get(index, "weight_decay")];
    const expected = rates.numbers();
    const actual: number[] = [];
    const wanted: number[] = [];
    const decays: number[] = [];
    for (const name of groups.get(index, "params").texts()) {
      const owner = trained.find(({ prefix }) => name.startsWith(prefix));
      const group = owner?.optimizer.groups.get(name.slice(owner.prefix.length));
      const rateOf = (update: number): number =>
        owner && group ? learningRateAt(owner.schedule, update) * group.learningRateScale : Number.NaN;
      actual.push(...expected.map((_, update) => rateOf(update)));
      wanted.push(...expected);
      decays.push(group?.weightDecay ?? Number.NaN);
    }
    golden.add(rates.path, actual, wanted, goldenBounds.forward);
    golden.add(decay.path, decays, new Array<number>(decays.length).fill(decay.number()), goldenBounds.forward);
  }
}

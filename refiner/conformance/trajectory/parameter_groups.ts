import type { ArenaOptimizer } from "../../training/optimizer.ts";
import { learningRateAt, type Schedule } from "../../training/schedule.ts";
import { goldenBounds } from "../bounds.ts";
import type { GoldenCase } from "../fixture.ts";
import type { Training } from "./training.ts";

/** The parameters of one optimiser, whose names in the file begin with a prefix. */
interface TrainedGroup {
  readonly prefix: string;
  readonly optimizer: ArenaOptimizer;
  readonly schedule: Schedule;
}

/** The learning rate of every update and the weight decay of every parameter, as `param_groups` lists them. */
function checkParameterGroups(golden: GoldenCase, trained: readonly TrainedGroup[]): void {
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

/** Rates and decay of every parameter, and the peaks that the rates follow from. */
export function checkGroups(golden: GoldenCase, { stage }: Training): void {
  const { heads, encoder, plan } = stage;
  const groups: TrainedGroup[] = [{ prefix: "heads.", optimizer: heads, schedule: plan.heads }];
  if (encoder && plan.encoder)
    groups.push({ prefix: "encoder.", optimizer: encoder.optimizer, schedule: plan.encoder });
  checkParameterGroups(golden, groups);
  for (const { prefix, schedule } of groups) checkPeak(golden, prefix.slice(0, -1), schedule.peak);
}

function checkPeak(golden: GoldenCase, group: string, peak: number): void {
  golden.addScalar(golden.json.get("hyper", "optimizer", `peak_lr_${group}`), peak, goldenBounds.forward);
}

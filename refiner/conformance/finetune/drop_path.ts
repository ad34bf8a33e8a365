import { dropPathRates, dropPathRule } from "../../methods/finetune/drop_path.ts";
import { goldenBounds } from "../bounds.ts";
import type { GoldenCase } from "../fixture.ts";

/** The rate of every block and the rule for its branches. What they multiply with is an input of the updates, whose draws are stored. */
export function checkDropPath(golden: GoldenCase): void {
  const hyper = golden.json.get("hyper");
  const batch = hyper.get("batch_size").number();
  const rates = dropPathRates(hyper.get("drop_path_rate").number(), hyper.get("depth").number());
  const stored = golden.json.get("drop_path");
  rates.forEach((rate, block) => {
    for (const branch of [0, 1]) {
      golden.addScalar(stored.get(block, branch, "drop_prob"), rate, goldenBounds.exact);
      const rule = stored.get(block, branch, "rule");
      const isSame = dropPathRule(batch, rate, "as-published").rule === rule.text();
      golden.addError(rule.path, isSame ? 0 : 1, goldenBounds.exact);
    }
  });
}

import { compareAbsolute } from "../absolute.ts";
import type { GoldenCase } from "../fixture.ts";
import { fixtureEncoder, logitsOf, storedClassifier } from "./training.ts";

/** Logits of mean-patch pooling, and of a model in post-norm form with both poolings. */
export async function checkOtherLogits(
  golden: GoldenCase,
  { kind, bound }: { readonly kind: "absolute" | "relative"; readonly bound: number },
): Promise<void> {
  const hyper = golden.json.get("hyper");
  const plain = fixtureEncoder(hyper, hyper);
  const other = { ...fixtureEncoder(golden.json.get("postnorm"), hyper), kind: "postnorm" as const };
  const models = [
    { name: "mean_patch/eval_logits_of_initial_weights", vit: plain, prefix: "initial/", pooling: "avg" },
    { name: "postnorm/logits_class_token", vit: other, prefix: "postnorm/weights/", pooling: "cls" },
    { name: "postnorm/logits_mean_patch", vit: other, prefix: "postnorm/weights/", pooling: "avg" },
  ] as const;
  for (const { name, vit, prefix, pooling } of models) {
    const model = await storedClassifier(golden, vit, { prefix, pooling });
    const logits = await logitsOf(golden, model, await golden.floats("eval/images"));
    if (kind === "absolute") await compareAbsolute(golden, name, logits, bound);
    else await golden.compare(name, logits, bound);
    model.destroy();
  }
}

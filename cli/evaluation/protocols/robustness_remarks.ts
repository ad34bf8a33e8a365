import type { CorruptionMean } from "../../../refiner/evaluation/index.ts";
import { classLists } from "../robustness_testers.ts";

interface RemarkedOptions {
  readonly testedClasses: boolean;
  readonly make?: readonly string[];
  readonly classifier?: string;
  readonly classList?: keyof typeof classLists;
}

/** What the numbers of robustness must be read with. */
export function remarksOf(
  { testedClasses, make, classifier, classList }: RemarkedOptions,
  mean: CorruptionMean | undefined,
): string[] {
  return [
    ...(classifier === undefined
      ? ["a linear classifier on the frozen encoder; the paper's numbers are those of a fully fine-tuned model"]
      : []),
    ...(classList === undefined
      ? []
      : [`only the ${classLists[classList].length} classes of ${classList} could be chosen`]),
    ...(mean && !mean.isComplete
      ? ["not all 19 corruptions of ImageNet-C at 5 severities are there: the mean is not comparable with its figure"]
      : []),
    ...(make ? ["corruptions were made here: an approximation of ImageNet-C, whose images are stored as JPEG"] : []),
    ...(testedClasses ? ["only the classes of the test images could be chosen"] : []),
  ];
}

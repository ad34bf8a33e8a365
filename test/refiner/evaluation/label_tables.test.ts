import { expect, it } from "vitest";
import { confusionTable, contingency, EvaluationError, silhouette } from "../../../refiner/evaluation/index.ts";

const names = (count: number) => Array.from({ length: count }, (_, label) => String(label));

it.each([
  [
    "a label that is no number of a class",
    () => contingency([0, 1], [0, 3_000_000_000]),
    /3000000000 is no number of a class/,
  ],
  [
    "clusters times classes without end",
    () => contingency([0, 99_999], [0, 99_999]),
    /100000 clusters and 100000 classes/,
  ],
  [
    "groups of such labels",
    () => silhouette({ rows: 3, columns: 1, data: Float64Array.of(0, 1, 2) }, [0, 0, 4_000_000_000]),
    /4000000000 is no number of a class/,
  ],
  [
    "a confusion of very many classes",
    () => confusionTable({ indices: new Uint32Array(1), labels: [1], predicted: [2], classNames: names(70_000) }),
    /70000 × 70000 classes is too large, .*--predictions/,
  ],
])("is refused, not allocated: %s", (_, count, message) => {
  expect(count).toThrow(EvaluationError);
  expect(count).toThrow(message);
});

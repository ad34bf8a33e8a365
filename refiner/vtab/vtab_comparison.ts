import { EvaluationError, pairedShares, rightShares } from "../evaluation/index.ts";
import { meanOfTasks, seedErrorOf, type VtabMean, type VtabTaskResult } from "./vtab_summary.ts";
import { vtabGroups } from "./vtab_tasks.ts";

/** How much better the second of two encoders is: `mean` is that of `after` minus that of `before`. */
export interface VtabDifference extends VtabMean {
  /** A task; or a group, or `all`, whose number is the mean of the differences of its tasks. */
  readonly name: string;
  readonly tasks: number;
}

/**
 * Two encoders on the same tasks, task by task. The standard error of a task is that of paired differences over its test images, each the
 * share of seeds that are right; `seedError` that of the differences seed by seed. A mean over tasks has the errors of their mean.
 *
 * @returns the tasks in their order, then the groups that have some, then all
 * @throws EvaluationError for other tasks, test images or seeds
 */
export function vtabDifferences(
  before: readonly VtabTaskResult[],
  after: readonly VtabTaskResult[],
): readonly VtabDifference[] {
  if (before.length !== after.length || before.length === 0)
    throw new EvaluationError(
      `vtab: ${before.length} and ${after.length} tasks cannot be compared; give the same ones`,
    );
  const tasks = before.map((one, i) => ({ group: one.group, ...differenceOfTask(one, after[i]) }));
  const groups = vtabGroups.flatMap((group) => {
    const own = tasks.filter((one) => one.group === group);
    return own.length > 0 ? [meanOfTasks(group, own)] : [];
  });
  return [...tasks.map(({ group: _, ...one }) => one), ...groups, meanOfTasks("all", tasks)];
}

function differenceOfTask(before: VtabTaskResult, after: VtabTaskResult | undefined): VtabDifference {
  const { task, labels, accuracies } = before;
  const isSame =
    after?.task === task &&
    after.accuracies.length === accuracies.length &&
    after.labels.length === labels.length &&
    after.labels.every((label, i) => label === labels[i]);
  if (!isSame)
    throw new EvaluationError(
      `vtab: ${task} and ${after?.task} cannot be compared: tasks, seeds and test images must be the same; evaluate both in the same way`,
    );
  const { value, standardError } = pairedShares(
    rightShares(labels, before.predicted),
    rightShares(labels, after.predicted),
  );
  const bySeed = accuracies.map((accuracy, i) => (after.accuracies[i] ?? Number.NaN) - accuracy);
  return { name: task, tasks: 1, mean: value, standardError, ...seedErrorOf(bySeed) };
}

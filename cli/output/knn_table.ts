/** k-NN accuracies 0 … 1 per block at the moments of a refinement; absent where not measured (yet). */
export interface KnnColumns {
  readonly before?: readonly number[];
  readonly afterStage2?: readonly number[];
  readonly after?: readonly number[];
}

/**
 * The table of a refinement, in per cent: one row per block, the last of which is the encoder's final output.
 *
 * @param missing - stands where nothing was measured
 * @returns empty if nothing was measured before the refinement
 */
export function knnTable({ before, afterStage2, after }: KnnColumns, missing: "-" | "…" = "-"): string[][] {
  if (!before) return [];
  const cell = (value: number | undefined): string => (value === undefined ? missing : percent(value));
  const gain = (from: number, to: number | undefined): string =>
    to === undefined ? missing : `${to < from ? "" : "+"}${(100 * (to - from)).toFixed(1)}`;
  return [
    ["k-NN accuracy, %", "before", "after stage 2", "after stage 3", "gain"],
    ...before.map((value, i) => [
      i === before.length - 1 ? "last" : `block ${i}`,
      cell(value),
      cell(afterStage2?.[i]),
      cell(after?.[i]),
      gain(value, after?.[i]),
    ]),
  ];
}

/** k-NN accuracy per block at some moment of a run, in one line. */
export function knnText(moment: string, accuracy: readonly number[]): string {
  return `k-NN per block, ${moment}: ${accuracy.map(percent).join(" ")}`;
}

/**
 * The table of one measurement, as shares.
 *
 * @param columns - further columns with a value per block
 */
export function blockTable(
  blocks: readonly (number | "last")[],
  columns: Readonly<Record<string, readonly (number | string)[] | undefined>>,
): string[][] {
  const given = Object.entries(columns).flatMap(([name, values]) => (values ? [{ name, values }] : []));
  const cell = (value: number | string | undefined): string =>
    typeof value === "string" ? value : (value ?? Number.NaN).toFixed(4);
  return [
    ["block", ...given.map(({ name }) => name)],
    ...blocks.map((block, i) => [String(block), ...given.map(({ values }) => cell(values[i]))]),
  ];
}

function percent(share: number): string {
  return (100 * share).toFixed(1);
}

/** Blocks as rows of a table over all of them: the final output stands in the place of the last block. */
export function numbered(blocks: readonly (number | "last")[]): (number | "last")[] {
  const isWhole = blocks.at(-1) === "last" && blocks.every((block, i) => block === i || block === "last");
  return isWhole ? blocks.map((_, i) => i) : [...blocks];
}

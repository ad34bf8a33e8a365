import { startValues } from "../initial_parameters.ts";
import { vitParameters } from "../parameters.ts";
import { sincosPositions } from "../positions.ts";
import { gridOf } from "../vit_config.ts";
import type { StoredParameter } from "./assemble_parameters.ts";
import type { StoredConfig } from "./encoder_config.ts";
import { IncompleteWeightsError } from "./errors.ts";
import { count, type LoadReport, some } from "./load_report.ts";

/** Name of the position grid, beside the parameters. */
export const positionsName = "pos_embed.embed";

/** Shapes of everything that an encoder of that config has, by name. */
export function shapesOf(config: StoredConfig): Map<string, readonly number[]> {
  const [rows, columns] = gridOf(config, config.heightPixels, config.widthPixels);
  const shapes = vitParameters({ ...config, heads: 1 }).map(({ name, shape }) => [name, shape] as const);
  return new Map([...shapes, [positionsName, [1, rows, columns, config.width]]]);
}

/** Takes out parameters that such an encoder does not have, and names the tensors that they come from. */
export function takeUnexpected(
  expected: ReadonlyMap<string, unknown>,
  parameters: Map<string, StoredParameter>,
): string[] {
  const unexpected = [...parameters].filter(([name]) => !expected.has(name));
  for (const [name] of unexpected) parameters.delete(name);
  return unexpected.flatMap(([, { sources }]) => sources);
}

/** Names without a stored value. @throws IncompleteWeightsError if a shape is another than the expected one */
export function checkShapes(
  expected: ReadonlyMap<string, readonly number[]>,
  parameters: ReadonlyMap<string, StoredParameter>,
  file: string,
): string[] {
  const wrong = [...expected].flatMap(([name, shape]) => {
    const stored = parameters.get(name)?.shape;
    return stored && String(stored) !== String(shape) ? [`${name} is [${stored}], expected [${shape}]`] : [];
  });
  if (wrong.length > 0) {
    throw new IncompleteWeightsError(
      `${file}: the tensors do not fit each other: ${some(wrong)}; the file is damaged or of another architecture`,
      [],
      [],
    );
  }
  return [...expected.keys()].filter((name) => !parameters.has(name));
}

/** @throws IncompleteWeightsError for what is missing or left over and not allowed */
export function refuseIncomplete(
  report: LoadReport,
  options: { readonly allowMissing?: boolean; readonly allowLeftOver?: boolean },
): void {
  const { missing, leftOver, file } = report;
  if (report.missing.length > 0 && !options.allowMissing) {
    throw new IncompleteWeightsError(
      `${file}: ${count(missing, "parameter")} of the encoder not in the file: ${some(missing)}; give the whole checkpoint, or allow start values for them (--allow-missing)`,
      missing,
      leftOver,
    );
  }
  if (report.leftOver.length > 0 && !options.allowLeftOver) {
    throw new IncompleteWeightsError(
      `${file}: ${count(leftOver, "tensor")} without a place in the encoder: ${some(leftOver)}; the architecture differs (its features would be wrong), or leave them out knowingly (--allow-left-over)`,
      missing,
      leftOver,
    );
  }
}

/** Start values in place of a parameter that is not stored. */
export function startParameter(config: StoredConfig, name: string): StoredParameter {
  const entry = vitParameters({ ...config, heads: 1 }).find((known) => known.name === name);
  if (entry) return { shape: entry.shape, sources: [], read: async () => startValues(entry, 0) };
  const [rows, columns] = gridOf(config, config.heightPixels, config.widthPixels);
  return {
    shape: [1, rows, columns, config.width],
    sources: [],
    read: async () => sincosPositions(rows, columns, config.width, "row-first"),
  };
}

import { arenaBlockElements } from "../core/arena.ts";
import { ShapeError } from "../core/errors.ts";
import { checkDType, checkSameShape } from "../core/shape.ts";
import type { Tensor } from "../core/tensor.ts";
import { stepScalarCount } from "./step_scalars.ts";

/** Tables that optimisers read beside the arenas. */
export interface GroupTables {
  /** Row of `groups` for each block of 64 parameters, u32 `[size / 64]`. */
  readonly blockGroups: Tensor;
  /** Learning-rate scale and weight decay per group, f32 `[G, 2]`. */
  readonly groups: Tensor;
  /** See `stepScalars`, f32 `[12]`. */
  readonly scalars: Tensor;
}

/**
 * Checks arenas that a step walks over side by side.
 *
 * @returns uniform values common to the optimiser kernels
 * @throws ShapeError, DTypeError
 */
export function checkStep(operation: string, arenas: Readonly<Record<string, Tensor>>, tables: GroupTables) {
  const [first] = Object.values(arenas);
  const size = first?.size ?? 0;
  if (size % arenaBlockElements !== 0) {
    throw new ShapeError(
      `${operation}: ${size} parameters are not whole blocks of ${arenaBlockElements}; use the chunks of an Arena`,
    );
  }
  for (const [name, x] of Object.entries(arenas)) {
    checkDType(operation, name, x, ["f32"]);
    checkSameShape(operation, name, [x.size], [size]);
  }
  const { blockGroups, groups, scalars } = tables;
  checkDType(operation, "blockGroups", blockGroups, ["u32"]);
  checkSameShape(operation, "blockGroups", blockGroups.shape, [size / arenaBlockElements]);
  checkDType(operation, "groups", groups, ["f32"]);
  const groupCount = groups.size / 2;
  checkSameShape(operation, "groups", groups.shape, [groupCount, 2]);
  checkDType(operation, "scalars", scalars, ["f32"]);
  checkSameShape(operation, "scalars", scalars.shape, [stepScalarCount]);
  return { count: size / 4, groupCount };
}

import { OptionError } from "../../engine/index.ts";

/** Settings that decide how a batch is cut where its gradients are summed in a fixed order. */
export interface PartSettings {
  readonly reproducible: boolean;
  readonly batch: number;
  readonly gradientPart: number;
  readonly microBatch?: number;
}

/** Share of a batch that a part is at most, where no size is set: parts cost launches, and 1, 2 and 4 processes can share four. */
const defaultParts = 4;

/** What else a part must go with. */
export interface PartPlace {
  /** Images that belong together, such as 2 where they are mixed in pairs. Default 1 */
  readonly multiple?: number;
  /** Processes that share the batch, each whole parts. They decide no size, only which are refused. Default 1 */
  readonly ranks?: number;
}

/**
 * Images whose gradients make one summand, all in one program of that shape; undefined where gradients need no fixed order. The
 * micro-batch only says how many images are under way at once.
 *
 * @returns a divisor of the batch
 * @throws OptionError that names the nearest sizes allowed, of a part that is none, of one that ranks cannot share, and of a micro-batch
 * that is not made of parts
 */
export function fixedPart(
  name: string,
  settings: PartSettings,
  { multiple = 1, ranks = 1 }: PartPlace = {},
): number | undefined {
  const { reproducible, batch, gradientPart, microBatch = 0 } = settings;
  if (!reproducible) {
    if (gradientPart === 0) return undefined;
    throw new OptionError(`${name}: gradientPart ${gradientPart} needs reproducible; set it, or gradientPart 0`);
  }
  const sizes = Array.from({ length: batch }, (_, i) => i + 1).filter(
    (size) => batch % size === 0 && (size % multiple === 0 || size === batch),
  );
  const part = gradientPart || (sizes.findLast((size) => size <= Math.max(1, batch / defaultParts)) ?? batch);
  if (!sizes.includes(part)) {
    const pairs = multiple > 1 ? ` and holds whole groups of ${multiple}` : "";
    throw new OptionError(
      `${name}: gradientPart ${part} is no size that divides the batch of ${batch}${pairs}; use ${nearest(part, sizes)}`,
    );
  }
  if ((batch / part) % ranks !== 0) {
    const shared = sizes.filter((size) => (batch / size) % ranks === 0);
    throw new OptionError(
      `${name}: ${ranks} ranks cannot share parts of ${part} images (gradientPart) of a batch of ${batch}; set gradientPart ${nearest(part, shared)}, which is another order of summation, with other bytes: for one process, too`,
    );
  }
  if (microBatch > 0 && microBatch < batch && microBatch % part !== 0) {
    const allowed = Array.from({ length: batch / part }, (_, i) => (i + 1) * part);
    throw new OptionError(
      `${name}: microBatch ${microBatch} is not made of parts of ${part} images (gradientPart); use ${nearest(microBatch, allowed)}`,
    );
  }
  return part;
}

/** The sizes beside one, in words. */
function nearest(size: number, allowed: readonly number[]): string {
  const [below, above] = [allowed.findLast((one) => one < size), allowed.find((one) => one > size)];
  return [below, above].filter((one) => one !== undefined).join(" or ");
}

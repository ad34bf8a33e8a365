// Fewer drawn cases where the same properties were already tested in depth by Node.
import fc from "../../node_modules/fast-check/lib/fast-check.js";

export * from "../../node_modules/fast-check/lib/fast-check.js";

const mostRuns = 4;

const assertWithFewerRuns: typeof fc.assert = (property, parameters) =>
  fc.assert(property, { ...parameters, numRuns: Math.min(parameters?.numRuns ?? mostRuns, mostRuns) });

export default { ...fc, assert: assertWithFewerRuns };

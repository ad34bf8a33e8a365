// Fewer drawn cases where the same properties were already tested in depth by Node.
import fc from "../../node_modules/fast-check/lib/fast-check.js";

export * from "../../node_modules/fast-check/lib/fast-check.js";

const mostRuns = 4;

function assert<Ts>(property: fc.IAsyncProperty<Ts>, parameters?: fc.Parameters<Ts>): Promise<void>;
function assert<Ts>(property: fc.IProperty<Ts>, parameters?: fc.Parameters<Ts>): void;
function assert<Ts>(property: fc.IRawProperty<Ts>, parameters?: fc.Parameters<Ts>): void | Promise<void> {
  return fc.assert(property, { ...parameters, numRuns: Math.min(parameters?.numRuns ?? mostRuns, mostRuns) });
}

export default { ...fc, assert };

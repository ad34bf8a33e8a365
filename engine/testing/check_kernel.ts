import fc from "fast-check";
import type { Kernel, KernelParams } from "../core/kernel.ts";
import type { Device } from "../core/recording.ts";
import type { DispatchOptions } from "../core/recording_options.ts";
import { recordProgram } from "../run/recorded_program.ts";
import { type DoubleOperands, type HostOperands, upload } from "./check_operation.ts";
import { expectClose } from "./compare.ts";

/** One launch of a kernel under test. */
export interface KernelCase {
  readonly params: KernelParams;
  /** Values of all bindings that the kernel reads. */
  readonly operands: HostOperands;
  /** Shapes of all f32 bindings that it only writes. */
  readonly results: Readonly<Record<string, readonly number[]>>;
  readonly workgroups: readonly number[];
  readonly options?: DispatchOptions;
  /** Bound on max|a − b| / max|b|. */
  readonly bound: number;
}

/**
 * Checks a bare kernel against a float64 reference over drawn shapes.
 *
 * @param reference - results by binding name, from the operands in float64 and the uniform values
 * @param cases - draws launches: odd shapes, zeros, large values
 * @throws Error with the smallest failing case
 */
export async function checkKernel(
  device: Device,
  kernel: Kernel,
  reference: (operands: DoubleOperands, params: KernelParams) => Readonly<Record<string, ArrayLike<number>>>,
  cases: fc.Arbitrary<KernelCase>,
  runs = 20,
): Promise<void> {
  await fc.assert(
    fc.asyncProperty(cases, async ({ params, operands, results, workgroups, options, bound }) => {
      const names = Object.keys(results);
      const recorded = recordProgram(device, (program) => {
        const written = Object.fromEntries(
          Object.entries(results).map(([name, shape]) => [name, program.empty(shape)]),
        );
        program.dispatch(kernel, params, { ...upload(device, operands), ...written }, workgroups, options);
        return written;
      });
      const values = await (await recorded.run({}, names)).read();
      const doubles = Object.fromEntries(
        Object.entries(operands).map(([name, { data }]) => [name, Float64Array.from(data)]),
      );
      for (const [name, expected] of Object.entries(reference(doubles, params)))
        expectClose(`${kernel.name}.${name}`, values[name] ?? [], expected, bound);
      recorded.destroy();
    }),
    { numRuns: runs },
  );
}

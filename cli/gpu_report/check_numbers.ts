import type { Device } from "../../engine/index.ts";
import { variantNames } from "../../engine/ops/choose_variant.ts";
import { checkKernel, type KernelCheck, kernelChecks } from "../../engine/self_check/index.ts";
import { namelessMessage } from "./nameless.ts";
import type { ReportedNumber } from "./report_schema.ts";

/** Operations that `doctor` compares with float64. */
export const checkedOperations: readonly string[] = kernelChecks.map(({ name }) => name);

/**
 * Compares an operation with float64, with each of its variants that runs here.
 *
 * @throws DeviceLostError
 */
export async function checkNumbers(device: Device, operation: string): Promise<ReportedNumber[]> {
  const check = kernelChecks.find(({ name }) => name === operation);
  if (!check) return [];
  const names = variantNames(operation);
  if (names.length === 0) return rowsOf(device, check, null);
  const rows: ReportedNumber[] = [];
  for (const variant of names) {
    device.tuning.requests.clear();
    device.tuning.force(operation, variant);
    const found = await rowsOf(device, check, variant).finally(() => device.tuning.force(operation, undefined));
    // Only what cannot run here, so that another one had to be chosen, asks the tuning table.
    const isOther = [...device.tuning.requests.values()].some((request) => request.operation === operation);
    if (!isOther) rows.push(...found);
  }
  return rows;
}

async function rowsOf(device: Device, check: KernelCheck, variant: string | null): Promise<ReportedNumber[]> {
  const { name: operation, bound } = check;
  try {
    return (await checkKernel(device, check)).map(({ tensor, maxError, pass }) => {
      const finite = Number.isFinite(maxError) ? maxError : Number.MAX_VALUE; // JSON has no infinities
      return { operation, variant, tensor, maxError: finite, bound, pass, error: null };
    });
  } catch (error) {
    device.throwIfLost();
    return [{ operation, variant, tensor: "", maxError: 0, bound, pass: false, error: namelessMessage(error) }];
  }
}

import { afterAll } from "vitest";
import { type Device, type DeviceOptions, openDevice } from "../engine/index.ts";

/** A device for a test file, closed after its tests; `MIMREFINE_ADAPTER` chooses the adapter. */
export async function testDevice(options: DeviceOptions = {}): Promise<Device> {
  const device = await openDevice({ notice: () => undefined, ...options });
  afterAll(() => device.close());
  return device;
}

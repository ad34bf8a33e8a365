import type { Device } from "../../engine/index.ts";

/** Keeps one device open for many measurements, and opens another one where it was lost. */
export class DeviceKeeper {
  #device: Device | undefined;

  /** @param open - opens another device of the same adapter */
  constructor(readonly open: () => Promise<Device>) {}

  /** The device, as good as new: what it reported before was told by the measurement that caused it. */
  async device(): Promise<Device> {
    if (this.#device && !isUsable(this.#device)) this.close();
    this.#device ??= await this.open();
    return this.#device;
  }

  close(): void {
    this.#device?.close();
    this.#device = undefined;
  }
}

function isUsable(device: Device): boolean {
  try {
    device.throwIfLost();
    return true;
  } catch {
    return false;
  }
}

import type { SubgroupMatrices } from "../core/device_parts.ts";
import { Device } from "./device.ts";

/** The limits that plans depend on. */
export interface PlanningLimits {
  readonly maxStorageBufferBindingSize: number;
  readonly maxBufferSize: number;
}

/** A device that records and plans for the limits of another one. It must not run what it planned. */
export class PlanningDevice extends Device {
  readonly #limits: GPUSupportedLimits;

  override readonly features: ReadonlySet<string>;
  override readonly matrices: SubgroupMatrices;

  /** @param features - assumed beside those of the device */
  constructor(device: Device, limits: PlanningLimits, features: readonly string[] = []) {
    super(device.gpu, { device: device.gpu, reproducible: device.reproducible });
    this.features = new Set([...device.features, ...features]);
    this.matrices = device.matrices;
    this.#limits = new Proxy(device.limits, {
      get: (target, name) => (name in limits ? Reflect.get(limits, name) : Reflect.get(target, name, target)),
    });
  }

  override get limits(): GPUSupportedLimits {
    return this.#limits;
  }

  /** Nothing: what is planned never runs, so its tables of indices need no memory. */
  override write(): void {}
}

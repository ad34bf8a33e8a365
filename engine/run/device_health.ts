import type { DeviceHealth } from "../core/device_parts.ts";
import { DeviceLostError, OutOfMemoryError, ValidationError } from "../core/errors.ts";

/** Listens to what a device reports on its own: that it is lost, and errors that no scope caught. */
export class ReportedHealth implements DeviceHealth {
  #lost: string | undefined;
  #error: Error | undefined;
  readonly #stopListening: () => void;

  /** @param name - of the adapter, for errors */
  constructor(
    gpu: GPUDevice,
    readonly name: string,
  ) {
    void gpu.lost.then(({ reason, message }) => {
      this.#lost = `${reason ?? "unknown"}${message ? `: ${message.split("\n")[0]}` : ""}`;
      this.#stopListening();
    });
    const listener = (event: GPUUncapturedErrorEvent): void => {
      event.preventDefault();
      this.report(describeGpuError(event.error));
    };
    gpu.addEventListener("uncapturederror", listener);
    // Dawn holds listeners, which hold pipelines, which hold the device: it could never be collected, nor its thread end.
    this.#stopListening = () => gpu.removeEventListener("uncapturederror", listener);
  }

  report(error: Error): void {
    this.#error ??= error;
  }

  lose(reason: string): void {
    this.#lost ??= reason;
    this.#stopListening();
  }

  throwIfLost(): void {
    if (this.#lost !== undefined) throw this.#lostError();
    const error = this.#error;
    this.#error = undefined;
    if (error) throw error;
  }

  describe(cause: unknown): Error {
    if (this.#lost !== undefined) return this.#lostError();
    const message = cause instanceof Error ? cause.message : String(cause);
    if (/lost|destroyed|abort/i.test(message)) return this.#lostError(message);
    return cause instanceof Error ? cause : new ValidationError(message);
  }

  #lostError(detail = this.#lost ?? ""): DeviceLostError {
    return new DeviceLostError(
      `the device ${this.name} was lost (${detail}); open a new device, record the program again and load the last saved state`,
    );
  }
}

function describeGpuError(error: GPUError): Error {
  return /memory/i.test(error.constructor.name)
    ? new OutOfMemoryError(`the device is out of memory: ${error.message}; use a smaller batch`)
    : new ValidationError(error.message);
}

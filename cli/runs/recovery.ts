import { setTimeout } from "node:timers/promises";
import { type Device, DeviceLostError } from "../../engine/index.ts";
import { runCheckpointFiles } from "../../refiner/training/run_checkpoint.ts";
import type { RunStore } from "../../refiner/training/run_store.ts";
import { WorkingStore } from "../../refiner/training/working_store.ts";
import { VtabResults } from "../../refiner/vtab/vtab_results.ts";
import type { Output } from "../output/streams.ts";
import { finishedShots } from "./finished_shots.ts";

/** Tries on new devices that bring no progress before a run gives up. */
const triesWithoutProgress = 3;
/** A driver that was reset takes a moment until it opens devices again. */
const pauseMs = 500;

/** Work that goes on by itself when its device is lost. */
export interface RecoverableRun {
  /** Where checkpoints and results tell progress; without, every try begins at the beginning. */
  readonly store?: RunStore;
  readonly output: Output;
  /** A run that was interrupted is not gone on with. */
  readonly signal?: AbortSignal;
  /** Whether other processes take part: a loss then ends all of them. */
  readonly isShared?: boolean;
  readonly open: () => Promise<Device>;
}

/**
 * Works on a device, and again on a new one if it is lost: an attempt goes on from the last checkpoint by itself, if there is one.
 *
 * @throws DeviceLostError after some losses without progress between them; what an attempt throws
 */
export async function onDevices<Result>(
  run: RecoverableRun,
  attempt: (device: Device) => Promise<Result>,
): Promise<Result> {
  const losses = new Losses(run);
  await losses.begin();
  for (;;) {
    try {
      return await onDevice(run, attempt);
    } catch (error) {
      if (!(error instanceof DeviceLostError) || run.signal?.aborted || run.isShared) throw error;
      await losses.count(error);
    }
  }
}

/** Devices that were lost since the last progress. */
class Losses {
  #mark = "";
  #count = 0;

  constructor(readonly run: RecoverableRun) {}

  async begin(): Promise<void> {
    this.#mark = (await progressOf(this.run.store)).mark;
  }

  /** Tells a loss, and waits a moment. @throws the error of a loss that is one too many */
  async count(error: DeviceLostError): Promise<void> {
    const { text: reached, mark } = await progressOf(this.run.store);
    this.#count = mark === this.#mark ? this.#count + 1 : 1;
    this.#mark = mark;
    if (this.#count > triesWithoutProgress) throw error;
    const from = reached === undefined ? "from the beginning" : `from ${reached}`;
    const text = `${firstPart(error.message)}; going on ${from} on a new device`;
    this.run.output.warning(`${text} (try ${this.#count} of ${triesWithoutProgress})`);
    await setTimeout(pauseMs * this.#count);
  }
}

/** @throws DeviceLostError for whatever an attempt threw on a device that was lost */
async function onDevice<Result>(
  { open }: RecoverableRun,
  attempt: (device: Device) => Promise<Result>,
): Promise<Result> {
  const device = await open();
  let loss: string | undefined;
  void device.gpu.lost.then(({ message }) => {
    loss = message;
  });
  try {
    return await attempt(device);
  } catch (error) {
    await setTimeout(0); // the loss may be told right behind the error
    if (error instanceof DeviceLostError || loss === undefined) throw error;
    throw new DeviceLostError(`the device ${device.info.name} was lost (${loss})`, { cause: error });
  } finally {
    device.close();
  }
}

function firstPart(message: string): string {
  return message.split(";")[0] ?? message;
}

/** What the next attempt goes on from, in words, and what differs once there is more of it. */
interface ProgressMade {
  readonly text: string | undefined;
  readonly mark: string;
}

/** The newest checkpoint, and what an evaluation of many runs has behind it. */
async function progressOf(store: RunStore | undefined): Promise<ProgressMade> {
  if (!store) return { text: undefined, mark: "" };
  const newest = (await runCheckpointFiles(store)).at(-1);
  const runs = (await new VtabResults(store).count()) + (await finishedShots(store));
  const { run, checkpoint } = await new WorkingStore(store).progress();
  const parts = [newest, runs > 0 ? `${runs} finished runs` : undefined, checkpoint].filter(
    (part) => part !== undefined,
  );
  return {
    text: parts.length === 0 ? undefined : parts.join(" and "),
    mark: JSON.stringify([...parts, run]), // checkpoints of two runs may have the same name
  };
}

import { Arena, type Device, type Tensor } from "../../../engine/index.ts";
import { imagesInMemory } from "../../../refiner/data/index.ts";
import { MaeMethod } from "../../../refiner/methods/mae/mae_method.ts";
import { startModel } from "../../../refiner/methods/mae/mae_model.ts";
import { type PretrainSettings, pretrainConfig } from "../../../refiner/methods/mae/pretrain_config.ts";
import { HostArena } from "../../../refiner/training/offload/host_arena.ts";
import type { RunStore } from "../../../refiner/training/run_store.ts";
import { trainingLoop } from "../../../refiner/training/training_loop.ts";
import type { UpdatePlace } from "../../../refiner/training/training_method.ts";
import type { SubmittedUpdate } from "../../../refiner/training/update_watch.ts";
import { HashedUpdates } from "../../../refiner/verification/hashed_updates.ts";

/** A pre-training of three updates an epoch that takes milliseconds. */
export const smallSettings: PretrainSettings = {
  ...{ pixels: 8, patch: 4, width: 8, blocks: 1, attentionHeads: 2 },
  ...{ decoderWidth: 8, decoderBlocks: 1, decoderHeads: 2 },
  ...{ batch: 4, epochs: 2, warmup: 0, learningRate: 0.01, reproducible: true, checkpointMinutes: 1000 },
};

export function smallImages(count = 12) {
  return imagesInMemory(
    Array.from({ length: count }, (_, i) => ({
      width: 8,
      height: 8,
      channels: 1 as const,
      data: Uint8Array.from({ length: 64 }, (__, pixel) => (pixel * (i + 3) * 5) & 255),
    })),
  );
}

/** Called at moments of an update at which a machine may go wrong. */
export interface Faults {
  /** With the state that lies in memory, before its hash is compared. */
  readonly atRest?: (place: UpdatePlace, method: MaeMethod) => Promise<void>;
  /** After an update was computed; `attempt` is 1 or 2. */
  readonly computed?: (place: UpdatePlace, method: MaeMethod, attempt: number) => Promise<void>;
  /** Before a checkpoint is read from the device. */
  readonly beforeSave?: (method: MaeMethod) => Promise<void>;
}

export interface SmallRun {
  readonly settings?: PretrainSettings;
  readonly resume?: boolean;
  readonly until?: number;
  readonly faults?: Faults;
}

/** Trains to the end, or to an update. */
export async function smallRun(device: Device, store: RunStore, options: SmallRun = {}): Promise<void> {
  const { settings = {}, resume, until, faults = {} } = options;
  const config = pretrainConfig({ ...smallSettings, ...settings });
  const images = smallImages();
  const { model, free } = startModel(device, config, images.channels, undefined);
  const method = new MaeMethod(model, config, { images: images.length, imageBytes: 64, source: "random weights" });
  const attempts = new Map<number, number>();
  const submit = method.run.bind(method);
  method.run = async (batch, place) => {
    const submitted = await submit(batch, place);
    const attempt = (attempts.get(place.total) ?? 0) + 1;
    attempts.set(place.total, attempt);
    await faults.computed?.(place, method, attempt);
    return submitted;
  };
  class Watched extends HashedUpdates {
    override async run<Result>(...args: Parameters<HashedUpdates["run"]>): Promise<SubmittedUpdate<Result>> {
      await faults.atRest?.(args[1], method);
      return super.run<Result>(args[0], args[1], args[2] as () => Promise<SubmittedUpdate<Result>>);
    }
    override async present() {
      await faults.beforeSave?.(method);
      return super.present();
    }
  }
  const watch = new Watched(method, { store, recheck: config.recheck });
  try {
    for await (const _ of trainingLoop(method, {
      ...{ images, resizeTo: 8, settings: config, store, resume, until, watch },
    }));
  } finally {
    watch.destroy();
    method.destroy();
    free();
  }
}

/** All tensors of a state that lie on the device, by name. */
export function tensorsOf(method: MaeMethod): [string, Tensor][] {
  const { arenas, tensors } = method.state();
  return [
    ...Object.entries(arenas).flatMap(([prefix, arena]) =>
      arena instanceof HostArena || !(arena instanceof Arena)
        ? []
        : [...arena.tensors].map(([name, tensor]): [string, Tensor] => [`${prefix}${name}`, tensor]),
    ),
    ...Object.entries(tensors),
  ];
}

/** Flips one bit of a tensor in the memory of the device. */
export async function flipBit(tensor: Tensor, bit: number): Promise<void> {
  const values = await tensor.read();
  const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  const at = Math.floor(bit / 8) % bytes.length;
  bytes[at] = (bytes[at] ?? 0) ^ (1 << (bit % 8));
  tensor.device.write(tensor, values);
}

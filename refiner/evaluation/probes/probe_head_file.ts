import {
  CheckpointError,
  hostTensor,
  openCheckpoint,
  TensorItem,
  writeSafetensors,
} from "../../../engine/files/index.ts";
import { OptionError } from "../../../engine/index.ts";
import { laneChecksum, valueChecksum } from "../../training/lane_checksum.ts";
import type { RunStore } from "../../training/run_store.ts";
import type { TrainedHead } from "./probe_heads.ts";

/** The best head so far, and at the end the chosen one. */
export const probeHeadFile = "head.safetensors";

/** Which head of a grid, after which epoch. */
interface SavedHead {
  /** Its name in the grid. */
  readonly head: string;
  readonly epoch: number;
}

const checksumKey = "checksum";

/**
 * Writes one trained head: `weight` [classes, width], `bias`, and the running estimates `mean`, `variance` of its feature; with a checksum
 * of all four and of which head it is.
 */
export async function saveProbeHead(
  store: RunStore,
  head: TrainedHead,
  which: SavedHead,
  metadata: Readonly<Record<string, string>>,
): Promise<void> {
  const classes = head.bias.length;
  const items = Object.entries(head).map(([name, values]: [string, Float32Array]): [string, TensorItem] => {
    const shape = name === "weight" ? [classes, values.length / classes] : [values.length];
    return [name, TensorItem.of(hostTensor("f32", shape, values))];
  });
  const place = { head: which.head, epoch: String(which.epoch), [checksumKey]: checksumOf(head, which) };
  await store.write(probeHeadFile, (sink) => writeSafetensors(sink, new Map(items), { ...metadata, ...place }));
}

/**
 * Reads it again.
 *
 * @param which - the head that it has to be
 * @throws OptionError for the head of other classes or another width; CheckpointError for a damaged file, or another head
 */
export async function readProbeHead(
  store: RunStore,
  classes: number,
  width: number,
  which: SavedHead,
): Promise<TrainedHead> {
  const file = await openCheckpoint(await store.open(probeHeadFile));
  try {
    const [weight, bias] = [await file.readAsF32("weight"), await file.readAsF32("bias")];
    const [mean, variance] = [await file.readAsF32("mean"), await file.readAsF32("variance")];
    if (bias.length !== classes || mean.length !== width || weight.length !== classes * width)
      throw new OptionError(
        `${store.name}/${probeHeadFile}: a head of ${bias.length} classes on ${mean.length} values, expected ${classes} on ${width}; it belongs to another evaluation`,
      );
    const head = { weight, bias, mean, variance };
    if (file.metadata.get(checksumKey) === checksumOf(head, which)) return head;
    throw new CheckpointError(
      "corrupt",
      `${store.name}/${probeHeadFile}: it is damaged, or not ${which.head} after epoch ${which.epoch}, which was chosen; evaluate again with --force`,
    );
  } finally {
    await file.close();
  }
}

function checksumOf({ weight, bias, mean, variance }: TrainedHead, { head, epoch }: SavedHead): string {
  const values = [weight, bias, mean, variance].map((values) =>
    laneChecksum(new Uint8Array(values.buffer, values.byteOffset, values.byteLength)),
  );
  return [...values, valueChecksum([head, epoch])].join("");
}

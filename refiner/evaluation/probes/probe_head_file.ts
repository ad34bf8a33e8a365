import { hostTensor, openCheckpoint, TensorItem, writeSafetensors } from "../../../engine/files/index.ts";
import { OptionError } from "../../../engine/index.ts";
import type { RunStore } from "../../training/run_store.ts";
import type { TrainedHead } from "./probe_heads.ts";

/** The best head so far, and at the end the chosen one. */
export const probeHeadFile = "head.safetensors";

/** Writes one trained head: `weight` [classes, width], `bias`, and the running estimates `mean`, `variance` of its feature. */
export async function saveProbeHead(
  store: RunStore,
  head: TrainedHead,
  metadata: Readonly<Record<string, string>>,
): Promise<void> {
  const classes = head.bias.length;
  const items = Object.entries(head).map(([name, values]: [string, Float32Array]): [string, TensorItem] => {
    const shape = name === "weight" ? [classes, values.length / classes] : [values.length];
    return [name, TensorItem.of(hostTensor("f32", shape, values))];
  });
  await store.write(probeHeadFile, (sink) => writeSafetensors(sink, new Map(items), metadata));
}

/** Reads it again. @throws OptionError for the head of other classes or another width; CheckpointError for a damaged file */
export async function readProbeHead(store: RunStore, classes: number, width: number): Promise<TrainedHead> {
  const file = await openCheckpoint(await store.open(probeHeadFile));
  try {
    const [weight, bias] = [await file.readAsF32("weight"), await file.readAsF32("bias")];
    const [mean, variance] = [await file.readAsF32("mean"), await file.readAsF32("variance")];
    if (bias.length !== classes || mean.length !== width || weight.length !== classes * width)
      throw new OptionError(
        `${store.name}/${probeHeadFile}: a head of ${bias.length} classes on ${mean.length} values, expected ${classes} on ${width}; it belongs to another evaluation`,
      );
    return { weight, bias, mean, variance };
  } finally {
    await file.close();
  }
}

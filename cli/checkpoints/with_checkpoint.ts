import { type Checkpoint, openCheckpoint } from "../../engine/files/index.ts";
import { fileSource } from "../../engine/platform/files_node.ts";

/** Opens a checkpoint for some work and closes it, whatever comes of the work. */
export async function withCheckpoint<T>(file: string, work: (checkpoint: Checkpoint) => Promise<T>): Promise<T> {
  const checkpoint = await openCheckpoint(await fileSource(file));
  try {
    return await work(checkpoint);
  } finally {
    await checkpoint.close();
  }
}

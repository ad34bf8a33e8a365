import { writeBytesAtomic } from "../../engine/platform/files_node.ts";

/** Writes a text as a whole or not at all. @throws FileExistsError, WriteTargetError */
export async function writeText(path: string, text: string, overwrite: boolean): Promise<void> {
  await writeBytesAtomic(path, new TextEncoder().encode(text), { overwrite });
}

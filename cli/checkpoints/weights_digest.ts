import { createHash, type Hash } from "node:crypto";
import { open, stat } from "node:fs/promises";

const blockBytes = 65_536;
const weightBlocks = 64;

/** Size, digest of the header and of evenly spread blocks: tells weights from others without reading all of them, if they are large. */
export async function weightsFingerprint(path: string): Promise<Record<string, string>> {
  const { size } = await stat(path);
  const [header, contents] = [createHash("sha256"), createHash("sha256")];
  await addBlocks(header, path, Math.min(size, 16 * blockBytes), 16);
  await addBlocks(contents, path, size, weightBlocks);
  return { size: String(size), header: shortDigest(header), contents: shortDigest(contents) };
}

/** Adds evenly spread blocks of a file, the first and the last among them; all of it if it is short. */
export async function addBlocks(digest: Hash, path: string, size: number, blocks: number): Promise<void> {
  const count = Math.min(blocks, Math.ceil(size / blockBytes));
  const file = await open(path, "r");
  try {
    const buffer = new Uint8Array(blockBytes);
    for (let block = 0; block < count; block++) {
      const start = count === 1 ? 0 : Math.round((block * Math.max(0, size - blockBytes)) / (count - 1));
      const { bytesRead } = await file.read(buffer, 0, Math.min(blockBytes, size - start), start);
      digest.update(buffer.subarray(0, bytesRead));
    }
  } finally {
    await file.close();
  }
}

/** As many digits as nobody reaches by chance. */
export function shortDigest(digest: Hash): string {
  return digest.digest("hex").slice(0, 32);
}

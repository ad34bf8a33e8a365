import { createHash } from "node:crypto";
import type { MaskSource } from "../../../refiner/data/index.ts";

/** Masks that are looked at: enough to notice other ones of the same names. */
const mostMasks = 256;

/** What masks hold, so that a score against other ones is known as such. */
export async function maskDigest(masks: MaskSource): Promise<string> {
  const count = Math.min(mostMasks, masks.length);
  const digest = createHash("sha256").update(`${masks.length}\n`);
  for (let i = 0; i < count; i++) {
    const { width, height, data } = await masks.load(Math.floor(((i + 0.5) * masks.length) / count));
    digest.update(`${width} ${height}\n`).update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  }
  return digest.digest("hex");
}

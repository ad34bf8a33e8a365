// The program of a decoder thread: an entry of its own, started by decoder_pool_node.ts.
import { parentPort } from "node:worker_threads";
import type { DecodeOptions, EncodedImage, RgbImage } from "../image_source.ts";
import { decodeImage } from "./decode_node.ts";

export interface DecodeRequest {
  readonly id: number;
  readonly encoded: EncodedImage;
  readonly options: Pick<DecodeOptions, "channels" | "resizeTo" | "maxPixels">;
}

/** Either the image or why it is broken. */
export type DecodeReply = { readonly id: number } & ({ readonly image: RgbImage } | { readonly reason: string });

parentPort?.on("message", async ({ id, encoded, options }: DecodeRequest) => {
  try {
    const image = await decodeImage(encoded, options);
    parentPort?.postMessage({ id, image } satisfies DecodeReply, [image.data.buffer]);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    parentPort?.postMessage({ id, reason } satisfies DecodeReply);
  }
});

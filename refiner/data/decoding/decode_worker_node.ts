// The program of a decoder thread: an entry of its own, started by decoder_pool_node.ts.
import type { DecodeOptions, EncodedImage } from "../image_source.ts";
import { decodeImage } from "./decode_node.ts";
import { answerRequests } from "./thread_program_node.ts";

export interface DecodeMessage {
  readonly encoded: EncodedImage;
  readonly options: Pick<DecodeOptions, "channels" | "resizeTo" | "maxPixels">;
}

answerRequests(async ({ encoded, options }: DecodeMessage) => {
  const result = await decodeImage(encoded, options);
  return { result, transfer: [result.data.buffer] };
});

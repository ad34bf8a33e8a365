// The program of a thread that makes crops: an entry of its own, started by crop_pool_node.ts.
import { answerRequests } from "../../data/decoding/thread_program_node.ts";
import { type CropRequest, croppedPixels } from "./cropped_pixels.ts";

answerRequests(async (request: CropRequest) => {
  const result = croppedPixels(request);
  const memory = [result.planes.buffer, result.labels.data.buffer];
  return { result, transfer: memory.filter((buffer) => buffer instanceof ArrayBuffer) };
});

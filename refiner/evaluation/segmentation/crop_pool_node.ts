import { type DecoderOptions, threadCount } from "../../data/decoding/decoder_pool_node.ts";
import { ThreadPool, threadFile } from "../../data/decoding/thread_pool_node.ts";
import { type CroppedPixels, type Cropper, type CropRequest, callersCropper } from "./cropped_pixels.ts";

/** A cropper that owns threads. */
export interface OpenedCropper extends Cropper {
  close(): Promise<void>;
}

/**
 * Opens threads for the crops of `segmentationProbe`: resizing them takes longer than a GPU needs for an update. The crops are those of
 * the calling thread to the bit.
 *
 * @param options - as of the decoder; `workerFile` is the built file of `crop_worker_node.ts`
 * @throws DataOptionError if `workers` is no count; DecoderError if the file of the threads' program is not found
 */
export function openCropper(options: DecoderOptions = {}): OpenedCropper {
  const threads = threadCount(options.workers ?? "auto");
  if (threads === 0) return { ...callersCropper, close: async () => {} };
  const file = options.workerFile ?? threadFile("cropper", "crop_worker", import.meta.url);
  const pool = new ThreadPool<CropRequest, CroppedPixels>("cropper", threads, file);
  return { crop: (request) => pool.ask(sent(request)), close: () => pool.close() };
}

/** A part of memory would be sent with all of it. */
function sent({ whole, side, uniform, normalisation: { mean, deviation } }: CropRequest): CropRequest {
  const { image, labels } = whole;
  const own = <Values extends Uint8Array | Int32Array>(data: Values, copy: (data: Values) => Values): Values =>
    data.byteLength === data.buffer.byteLength ? data : copy(data);
  return {
    whole: {
      image: { ...image, data: own(image.data, (data) => data.slice()) },
      labels: { ...labels, data: own(labels.data, (data) => data.slice()) },
    },
    side,
    uniform,
    normalisation: { mean, deviation },
  };
}

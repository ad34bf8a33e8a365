export { type DecoderOptions, openDecoder } from "./decoding/decoder_pool_node.ts";
export { jpegCodec } from "./decoding/jpeg_codec_node.ts";
export type { Split } from "./decoding/stored_pixels_node.ts";
export { type PairedMasks, pairMasks } from "./masks/mask_folder_node.ts";
export { type OpenImagesOptions, openImages } from "./sources/open_images_node.ts";

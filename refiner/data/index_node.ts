export { type DecoderOptions, openDecoder } from "./decoder_pool_node.ts";
export { type OpenImagesOptions, openImages } from "./open_images_node.ts";
export type { Split } from "./stored_pixels_node.ts";

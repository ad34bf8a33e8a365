/** What needs a file system, for Node and Deno: files as byte sources, folders of images, run folders. */
export { fileSource, writeBytesAtomic, writeFileAtomic } from "./engine/platform/files_node.ts";
export { type DecoderOptions, type OpenImagesOptions, openDecoder, openImages } from "./refiner/data/index_node.ts";
export { type OpenedCropper, openCropper } from "./refiner/evaluation/segmentation/crop_pool_node.ts";
export { RunFolderError } from "./refiner/training/run_folder_error.ts";
export { RunFolder } from "./refiner/training/run_folder_node.ts";
export {
  openVtabImages,
  readVtabFolder,
  type VtabFolder,
  type VtabImage,
  type VtabListFile,
  vtabTasksOf,
} from "./refiner/vtab/vtab_folder_node.ts";

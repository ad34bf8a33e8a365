import { readdir, readFile } from "node:fs/promises";
import { basename, extname, join, relative } from "node:path";
import { NoImagesError, UnreadableDataError } from "../errors.ts";
import type { ImageSource } from "../image_source.ts";
import { subset } from "../sources/derived_sources.ts";
import type { LabelledImageSource, MaskSource } from "./mask_source.ts";
import { readPngIndices } from "./read_png_indices.ts";

/** Images that have a mask, with it. */
export interface PairedMasks extends LabelledImageSource {
  /** Place of each image among the given ones. */
  readonly indices: Uint32Array;
  /** Images without a mask, and masks without an image, counted and named. */
  readonly notices: readonly string[];
}

const shownNames = 5;

/**
 * Pairs images with the masks of a folder by their names: `IMAGES/a/b.jpg` with `MASKS/a/b.png`. Images without a mask are left out.
 *
 * @param imagesPath - the folder that names of images begin with; a name elsewhere counts by its last part
 * @param others - images that share the folder of masks: theirs are not superfluous
 * @throws UnreadableDataError for a folder that cannot be read; NoImagesError if no image has a mask
 */
export async function pairMasks(
  images: ImageSource,
  imagesPath: string,
  folder: string,
  others?: ImageSource,
): Promise<PairedMasks> {
  const found = new Set(await pngFiles(folder));
  const masks = Array.from({ length: images.length }, (_, index) => maskName(images.name(index), imagesPath));
  const indices = Uint32Array.from(masks.keys()).filter((index) => found.has(masks[index] ?? ""));
  if (indices.length === 0)
    throw new NoImagesError(
      `masks: none of ${images.length} images has a mask in ${folder}, such as ${masks[0]} for ${images.name(0)}; name masks as their images, with the ending .png`,
    );
  const missing = masks.filter((name) => !found.has(name));
  const known = new Set(masks);
  for (let i = 0; i < (others?.length ?? 0); i++) known.add(maskName(others?.name(i) ?? "", imagesPath));
  const superfluous = [...found].filter((name) => !known.has(name));
  const paths = Array.from(indices, (index) => join(folder, masks[index] ?? ""));
  return {
    images: subset(images, indices),
    masks: masksOfFiles(paths),
    indices,
    notices: [
      counted(missing, `of ${images.length} images have no mask in ${folder} and are left out, which would be`),
      counted(superfluous, `of ${found.size} masks in ${folder} have no image:`),
    ].filter((line) => line !== undefined),
  };
}

/** Masks in files of their own. */
function masksOfFiles(paths: readonly string[]): MaskSource {
  const path = (index: number): string => paths[index] ?? "";
  return {
    length: paths.length,
    name: path,
    load: async (index) => {
      const bytes = await readFile(path(index)).catch((cause: unknown) => {
        throw new UnreadableDataError(`mask: ${path(index)} cannot be read; check its permissions`, { cause });
      });
      return readPngIndices(Uint8Array.from(bytes), path(index));
    },
  };
}

function maskName(image: string, root: string): string {
  const inside = relative(root, image);
  const name = inside === "" || inside.startsWith("..") ? basename(image) : inside;
  return `${name.slice(0, name.length - extname(name).length)}.png`.replaceAll("\\", "/");
}

/** Paths of the PNG files in a folder and its folders, sorted. */
async function pngFiles(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true }).catch((cause: unknown) => {
    throw new UnreadableDataError(`masks: ${folder} cannot be read; give the folder of the masks`, { cause });
  });
  return entries
    .map((entry) => entry.replaceAll("\\", "/"))
    .filter((entry) => /\.png$/.test(entry) && !/(^|\/)\./.test(entry))
    .sort();
}

function counted(names: readonly string[], what: string): string | undefined {
  if (names.length === 0) return undefined;
  const shown = names.slice(0, shownNames).join(", ");
  return `${names.length} ${what} ${shown}${names.length > shownNames ? ", …" : ""}`;
}

const imageExtensions = new Set(["jpg", "jpeg", "jpe", "jfif", "png", "webp", "tif", "tiff", "gif", "avif"]);
/** Pictures that cannot be decoded here; their folders are classes all the same. */
const foreignExtensions = new Set(
  (
    "bmp dib heic heif hif jxl jp2 j2k jpx svg svgz ico cur psd xcf tga pcx ppm pgm pbm pnm pam pfm exr hdr dds dcm fits fit " +
    "raw dng nef cr2 cr3 arw orf rw2 raf pef srw eps ai"
  ).split(" "),
);

/** Whether a file's name says that it is an image; what it really is, its content decides when it is decoded. */
export function hasImageName(name: string): boolean {
  return hasEnding(name, imageExtensions);
}

/** Whether a file's name says that it is a picture of a kind that is not read. */
export function hasForeignImageName(name: string): boolean {
  return hasEnding(name, foreignExtensions);
}

function hasEnding(name: string, endings: ReadonlySet<string>): boolean {
  const base = name.slice(name.lastIndexOf("/") + 1);
  if (base.startsWith(".")) return false; // .DS_Store, and the ._ twins that archives of macOS contain
  const dot = base.lastIndexOf(".");
  return dot > 0 && endings.has(base.slice(dot + 1).toLowerCase());
}

/**
 * The class of each image of a folder, from paths relative to it: the first folder of the path. None where images lie
 * at the top. Folders that all paths share are passed over, so `data/train/CLASS/x.jpg` works from `data` as from
 * `data/train`; images in one folder only are therefore not a class, unless it has the name of a known one.
 *
 * @param others - paths of pictures that are left out: they take part in finding which folders are classes
 * @param known - classes of the data set that this one is compared with
 */
export function folderClasses(
  paths: readonly string[],
  others: readonly string[] = [],
  known: ReadonlySet<string> = new Set(),
): (string | undefined)[] {
  const folders = [...paths, ...others].map((path) => path.split("/").slice(0, -1));
  const [first = []] = folders;
  let shared = 0;
  while (
    shared < first.length &&
    !known.has(first[shared] ?? "") &&
    folders.every((folder) => folder[shared] === first[shared])
  )
    shared++;
  const classes = paths.map((_, index) => folders[index]?.[shared]);
  return classes.includes(undefined) ? classes.map(() => undefined) : classes;
}

const splitNames = new Set(["train", "training", "test", "testing", "val", "valid", "validation", "dev", "eval"]);

/** Whether the classes are the parts of a data set, which its folder was meant to be divided into. */
export function areSplits(classes: readonly (string | undefined)[]): boolean {
  const distinct = new Set(classes);
  return distinct.size > 1 && [...distinct].every((name) => name !== undefined && splitNames.has(name.toLowerCase()));
}

const imageExtensions = new Set(["jpg", "jpeg", "jpe", "jfif", "png", "webp", "tif", "tiff", "gif", "avif"]);
/** Pictures that cannot be decoded here; their folders are classes all the same. */
const foreignExtensions = new Set(
  (
    "bmp dib heic heif hif jxl jp2 j2k jpx svg svgz ico cur psd xcf tga pcx ppm pgm pbm pnm pam pfm exr hdr dds dcm fits fit " +
    "raw dng nef cr2 cr3 arw orf rw2 raf pef srw eps ai"
  ).split(" "),
);

const archiveExtensions = new Set("tar gz tgz bz2 tbz xz txz zst zip 7z rar".split(" "));

/** Whether a file's name says that it is an archive, which may hold images. */
export function hasArchiveName(name: string): boolean {
  return hasEnding(name, archiveExtensions);
}

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

/** Such as `train`, `Test`, `val2017`, `train_images`. */
const splitName =
  /^(train(ing)?|test(ing)?|val(id(ation)?)?|dev|eval|unlabell?ed)([ _-]?(\d{1,4}|set|split|data|images?|imgs?))*$/i;

/** Classes that look like the parts of a data set, which its folder was meant to be divided into; none unless there are two. */
export function splitsAmong(classes: readonly (string | undefined)[]): string[] {
  const names = [...new Set(classes)].filter((name) => name !== undefined && splitName.test(name));
  return names.length > 1 ? names.filter((name) => name !== undefined).sort() : [];
}

const imageExtensions = new Set(["jpg", "jpeg", "jpe", "jfif", "png", "webp", "tif", "tiff", "gif", "avif"]);

/** Whether a file's name says that it is an image; what it really is, its content decides when it is decoded. */
export function hasImageName(name: string): boolean {
  const base = name.slice(name.lastIndexOf("/") + 1);
  if (base.startsWith(".")) return false; // .DS_Store, and the ._ twins that archives of macOS contain
  const dot = base.lastIndexOf(".");
  return dot > 0 && imageExtensions.has(base.slice(dot + 1).toLowerCase());
}

/**
 * The class of each image of a folder, from paths relative to it: the first folder of the path. None where images lie
 * at the top. Folders that all paths share are passed over, so `data/train/CLASS/x.jpg` works from `data` as from
 * `data/train`; images in one folder only are therefore not a class.
 */
export function folderClasses(paths: readonly string[]): (string | undefined)[] {
  const folders = paths.map((path) => path.split("/").slice(0, -1));
  const [first = []] = folders;
  let shared = 0;
  while (shared < first.length && folders.every((folder) => folder[shared] === first[shared])) shared++;
  const classes = folders.map((folder) => folder[shared]);
  return classes.includes(undefined) ? classes.map(() => undefined) : classes;
}

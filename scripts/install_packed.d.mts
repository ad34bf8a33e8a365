/** Packs the package and installs the archive into `folder`, which is made if missing. @returns the folder */
export function installPacked(folder: string): Promise<string>;

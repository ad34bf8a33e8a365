// Data of Debian's packages: where they are installed, else fetched by name and unpacked, without becoming root.
import { execFileSync } from "node:child_process";
import { mkdir, readdir } from "node:fs/promises";
import { join } from "node:path";
import { exists } from "./steps.mjs";

/**
 * A folder of a package.
 *
 * @param folder - where it is unpacked if it is not installed
 * @param path - of the folder, without the first slash
 * @param given - the folder itself, if the user has it elsewhere
 */
export async function debianFolder(folder, name, path, given) {
  const unpacked = join(folder, "packages", name);
  for (const place of given ? [given] : [join("/", path), join(unpacked, path)]) if (await exists(place)) return place;
  if (given) throw new Error(`no ${given}; it should hold what the package ${name} has in /${path}`);
  await mkdir(unpacked, { recursive: true });
  execFileSync("apt-get", ["download", name], { cwd: unpacked, stdio: "inherit" });
  const [archive] = (await readdir(unpacked)).filter((file) => file.endsWith(".deb"));
  execFileSync("dpkg-deb", ["-x", join(unpacked, archive), unpacked], { stdio: "inherit" });
  return join(unpacked, path);
}

// Packs the package and installs the archive into an empty folder, as a user would.
import { execFileSync } from "node:child_process";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";

const root = new URL("..", import.meta.url).pathname;

/**
 * @param {string} folder - made if missing
 * @returns {Promise<string>} the folder
 */
export async function installPacked(folder) {
  await mkdir(folder, { recursive: true });
  const options = { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] };
  const packed = execFileSync("npm", ["pack", "--ignore-scripts", "--json", "--pack-destination", folder], {
    ...options,
    cwd: root,
  });
  const [{ filename }] = JSON.parse(packed);
  await writeFile(join(folder, "package.json"), JSON.stringify({ name: "empty", private: true, type: "module" }));
  execFileSync("npm", ["install", "--no-audit", "--no-fund", "--prefer-offline", join(folder, filename)], {
    ...options,
    cwd: folder,
  });
  return folder;
}

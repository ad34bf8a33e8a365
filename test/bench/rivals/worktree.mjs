import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync, rmSync } from "node:fs";
import { constants } from "node:os";
import { fileURLToPath, pathToFileURL } from "node:url";

const root = fileURLToPath(new URL("../../../", import.meta.url));

/**
 * @param {string} revision - a commit, branch or tag
 * @returns {string} its short hash
 * @throws Error if git does not know it
 */
export function commitName(revision) {
  try {
    return git(["rev-parse", "--verify", "--short", `${revision}^{commit}`]);
  } catch {
    throw new Error(`--against ${revision}: git knows no such commit here; fetch it, or see "git log --oneline"`);
  }
}

/**
 * Builds another commit in a git worktree of its own, which is removed when this process ends, however it ends
 * (but by SIGKILL; then `git worktree list` shows it).
 *
 * @param {string} name - from {@link commitName}
 * @returns {Promise<{ name: string, folder: URL, dist: string }>} `dist`: address of the build
 * @throws Error if it cannot be built
 */
export async function buildCommit(name) {
  // Below this checkout, so that its installed packages are found from there; `.cache` is ignored by git and all checks.
  const folder = `${root}.cache/against-${name}-${process.pid}`;
  removeAtExit(folder);
  git(["worktree", "add", "--detach", folder, name]);
  console.log(`building ${name} ...`);
  if (!samePackages(folder)) await npm(folder, ["ci", "--ignore-scripts", "--no-audit", "--no-fund"]);
  await npm(folder, ["run", "build"]);
  const address = pathToFileURL(`${folder}/`);
  return { name, folder: address, dist: new URL("dist/", address).href };
}

/** This tree: its commit, and whether files differ from it. */
export function describeTree() {
  return { name: commitName("HEAD"), changed: git(["status", "--porcelain", "--untracked-files=no"]) !== "" };
}

function removeAtExit(folder) {
  process.once("exit", () => {
    rmSync(folder, { recursive: true, force: true, maxRetries: 3 }); // a build may be writing to it in its last moments
    git(["worktree", "prune"]);
  });
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) {
    process.once(signal, () => process.exit(128 + constants.signals[signal])); // runs the function above
  }
}

/** Whether the packages of both commits are the same ones; the version of this package itself may differ. */
function samePackages(folder) {
  const packages = (path) => {
    const { "": _, ...installed } = JSON.parse(readFileSync(`${path}/package-lock.json`, "utf8")).packages;
    return JSON.stringify(installed);
  };
  return packages(root) === packages(folder);
}

async function npm(folder, args) {
  const isWindows = process.platform === "win32"; // npm is a script there, and there are no process groups
  const options = { stdio: ["ignore", "ignore", "inherit"], shell: isWindows, detached: !isWindows };
  const child = spawn("npm", args, { cwd: folder, ...options });
  // With all that npm has started, which would go on writing to a folder that is being removed.
  const kill = () => (isWindows ? child.kill() : process.kill(-child.pid, "SIGKILL"));
  process.prependOnceListener("exit", kill); // before the folder is removed
  const [code] = await once(child, "exit");
  process.off("exit", kill);
  if (code !== 0) throw new Error(`npm ${args.join(" ")} failed in the other commit (exit code ${code})`);
}

function git(args) {
  return execFileSync("git", args, { cwd: root, encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }).trim();
}

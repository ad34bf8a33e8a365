import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync, rmSync } from "node:fs";
import { constants } from "node:os";
import { fileURLToPath, pathToFileURL } from "node:url";

const root = fileURLToPath(new URL("../../../", import.meta.url));

/**
 * Builds another commit in a git worktree of its own, which is removed when this process ends, however it ends
 * (but by SIGKILL; then `git worktree list` shows it).
 *
 * @param {string} revision - a commit, branch or tag
 * @returns {Promise<{ name: string, folder: URL, dist: string }>} `name`: the short hash; `dist`: address of the build
 * @throws Error if git does not know the commit or it cannot be built
 */
export async function buildCommit(revision) {
  const name = shortHash(revision);
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
  return { name: shortHash("HEAD"), changed: git(["status", "--porcelain", "--untracked-files=no"]) !== "" };
}

function shortHash(revision) {
  try {
    return git(["rev-parse", "--verify", "--short", `${revision}^{commit}`]);
  } catch {
    throw new Error(`--against ${revision}: git knows no such commit here; fetch it, or see "git log --oneline"`);
  }
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
  const shell = process.platform === "win32"; // npm is a script there
  const child = spawn("npm", args, { cwd: folder, stdio: ["ignore", "ignore", "inherit"], shell });
  const kill = () => child.kill();
  process.once("exit", kill);
  const [code] = await once(child, "exit");
  process.off("exit", kill);
  if (code !== 0) throw new Error(`npm ${args.join(" ")} failed in the other commit (exit code ${code})`);
}

function git(args) {
  return execFileSync("git", args, { cwd: root, encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }).trim();
}

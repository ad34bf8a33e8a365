// npm run bench:rivals -- [--json FILE] [--rows a,b] [--repeats N] [--rivals a,b]
// npm run bench:rivals -- --against COMMIT [--cpu] [--json FILE] [--rows a,b] [--repeats N]
// Times this engine against other libraries, or against itself as it was at another commit. See ../README.md.
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { compareCommits } from "./commits.mjs";
import { compareRivals, entries } from "./rivals.mjs";
import { rows } from "./work/rows.mjs";
import { commitName } from "./worktree.mjs";

const root = new URL("../../../", import.meta.url);
const defaultRepeats = { rivals: 5, commits: 8 }; // an even number: each build goes first in half of the rounds

const options = parseOptions();
if (options.against) {
  build(); // always: an old build would be measured under the name of this tree
  await compareCommits(options);
} else {
  if (!existsSync(new URL("dist/engine.js", root))) build();
  await compareRivals(options);
}

function parseOptions() {
  const { values } = parseArgs({
    options: {
      against: { type: "string" },
      cpu: { type: "boolean", default: false },
      json: { type: "string" },
      rows: { type: "string" },
      rivals: { type: "string" },
      repeats: { type: "string" },
    },
  });
  if (values.against === "") throw new Error("--against: want a commit, a branch or a tag");
  if (values.against && values.rivals) throw new Error("--rivals and --against: one comparison at a time");
  if (values.cpu && !values.against) throw new Error("--cpu belongs to --against COMMIT");
  const repeats = Number(values.repeats ?? (values.against ? defaultRepeats.commits : defaultRepeats.rivals));
  if (!Number.isInteger(repeats) || repeats < 1) {
    throw new Error(`--repeats ${values.repeats}: want a whole number from 1`);
  }
  return {
    against: values.against && commitName(values.against),
    cpu: values.cpu,
    json: values.json,
    repeats,
    rows: values.rows ? pick(rows, values.rows, "work", "rows") : rows,
    rivals: values.rivals ? pick(entries, values.rivals, "name", "rivals").map(({ name }) => name) : undefined,
  };
}

function pick(list, wanted, key, option) {
  return wanted.split(",").map((name) => {
    const found = list.find((item) => item[key] === name.trim());
    if (!found) throw new Error(`--${option} ${name}: choose from ${list.map((item) => item[key]).join(", ")}`);
    return found;
  });
}

function build() {
  const shell = process.platform === "win32"; // npm is a script there
  execFileSync("npm", ["run", "build"], { cwd: fileURLToPath(root), stdio: ["ignore", "ignore", "inherit"], shell });
}

// The size of the house against its budget (size_budget.json): lines per room, longest file, files per folder, package.
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { filesBelow, roomOf, root } from "./house.mjs";

const budgetFile = "scripts/size_budget.json";
const budget = JSON.parse(await readFile(join(root, budgetFile), "utf8"));
const problems = [];

const files = [];
for (const house of Object.keys(budget.lines)) {
  const paths = (await filesBelow(house)).filter(
    (path) => /\.(ts|mts|mjs|wgsl)$/.test(path) && !path.includes("node_modules/"),
  );
  for (const path of paths) {
    const text = await readFile(join(root, path), "utf8");
    files.push({ path, house, room: roomOf(path)?.room ?? house, lines: text.split("\n").length - 1 });
  }
}
checkLines();
checkFiles();
checkFolders();
checkPackage();

if (problems.length > 0) {
  console.error(problems.join("\n"));
  process.exit(1);
}

function checkLines() {
  for (const [house, allowed] of Object.entries(budget.lines)) {
    const own = files.filter((file) => file.house === house);
    const lines = sum(own);
    const rooms = [...new Set(own.map(({ room }) => room))].map((room) => {
      return `${room.slice(house.length + 1) || "."} ${sum(own.filter((file) => file.room === room))}`;
    });
    const inner = rooms.length > 1 ? `: ${rooms.join(", ")}` : "";
    console.log(`size: ${house} ${lines} of ${allowed} lines${inner}`);
    if (lines > allowed) {
      problems.push(
        `${house} has ${lines} lines, ${allowed} are budgeted; look for a copy that can go or a room that does two jobs, ` +
          `or raise "lines" in ${budgetFile} in the commit that needs it and say why there`,
      );
    }
  }
}

function checkFiles() {
  const source = files.filter(({ house }) => house !== "test").sort((a, b) => b.lines - a.lines);
  console.log(`size: longest file outside tests ${source[0].path}, ${source[0].lines} of ${budget.linesPerFile} lines`);
  for (const { path, lines } of source.filter(({ lines }) => lines > budget.linesPerFile)) {
    problems.push(`${path} has ${lines} lines, ${budget.linesPerFile} are allowed; split it by its jobs`);
  }
}

function checkFolders() {
  const folders = new Map();
  for (const { path } of files) folders.set(dirname(path), (folders.get(dirname(path)) ?? 0) + 1);
  for (const [folder, count] of folders) {
    if (count <= budget.filesPerFolder || budget.foldersWithoutLimit.includes(folder)) continue;
    problems.push(
      `${folder}/ has ${count} files, ${budget.filesPerFolder} are allowed; give those that belong together a room`,
    );
  }
}

function checkPackage() {
  if (!existsSync(join(root, "dist"))) {
    console.log("size: the package is not built, so not weighed; npm run build");
    return;
  }
  const shell = process.platform === "win32"; // npm is a script there
  const packed = execFileSync("npm", ["pack", "--dry-run", "--ignore-scripts", "--json"], {
    cwd: root,
    encoding: "utf8",
    stdio: ["ignore", "pipe", "ignore"],
    shell,
  });
  const [{ size, unpackedSize, entryCount }] = JSON.parse(packed);
  const weights = [
    ["packed", size, budget.packedBytes],
    ["unpacked", unpackedSize, budget.unpackedBytes],
  ];
  console.log(
    `size: package ${weights.map(([name, bytes, allowed]) => `${name} ${megabytes(bytes)} of ${megabytes(allowed)}`).join(", ")}, ${entryCount} files`,
  );
  for (const [name, bytes, allowed] of weights.filter(([, bytes, allowed]) => bytes > allowed)) {
    problems.push(
      `the package is ${megabytes(bytes)} ${name}, ${megabytes(allowed)} are budgeted; see "npm pack --dry-run" for what is in it, ` +
        `or raise "${name}Bytes" in ${budgetFile} in the commit that needs it and say why there`,
    );
  }
}

function sum(list) {
  return list.reduce((total, { lines }) => total + lines, 0);
}

function megabytes(bytes) {
  return `${(bytes / 1e6).toFixed(2)} MB`;
}

// Every import goes the way that the table of rooms allows, and only platform, *_node and command-line files import from Node.
import { filesBelow, importsOf, mayUseNode, roomOf } from "./house.mjs";
import { rooms } from "./rooms.mjs";

const table = "scripts/rooms.mjs";
const problems = tableProblems();
const files = (await Promise.all(["engine", "models", "refiner", "cli"].map(filesBelow))).flat();
for (const file of [...files.filter((path) => path.endsWith(".ts")), "index.ts", "node.ts"]) {
  const row = roomOf(file);
  if (!row) {
    problems.push(`${file} stands in no room; give its folder a row in ${table}, or move the file into a room`);
    continue;
  }
  for (const { target, path } of await importsOf(file)) {
    if (path !== undefined) problems.push(...directionProblems(file, row, path));
    else if (/^node:/.test(target) && !mayUseNode(file)) {
      problems.push(`${file} imports ${target}; move it behind a *_node.ts file`);
    }
  }
}

if (problems.length > 0) {
  console.error(problems.join("\n"));
  process.exit(1);
}
console.log(`imports: ${files.length} files, every import goes the way that the table of ${rooms.length} rooms allows`);

/** A row names rooms above it only: then no circle of rooms can be allowed. */
function tableProblems() {
  return rooms.flatMap(({ room, imports }, place) => {
    const above = rooms.slice(0, place);
    return imports
      .filter((name) => !above.some((row) => names(name, row.room)))
      .map((name) => `${table}: the row of ${room} allows ${name}, which is no room above it`);
  });
}

function directionProblems(file, row, path) {
  if (path === "package.json") return []; // the version
  const to = roomOf(path);
  if (!to) return [`${file} imports ${path}, which stands in no room of ${table}`];
  if (to === row || row.imports.some((name) => names(name, to.room))) return [];
  return [
    `${file} (room ${row.room}) imports ${path} (room ${to.room}); ${row.room} may import ` +
      `${row.imports.join(", ") || "no other room"}. Move what both need to a room below, or hand it in; the table is ${table}`,
  ];
}

/** Whether an entry of a row, such as `engine/core` or `engine/*`, names a room. */
function names(entry, room) {
  return entry.endsWith("/*") ? `${room}/`.startsWith(entry.slice(0, -1)) : entry === room;
}

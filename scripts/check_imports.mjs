// Imports point one way: shaders <- engine <- models <- refiner <- cli; only platform and *_node files import from Node.
import { readdir, readFile } from "node:fs/promises";
import { dirname, join, relative, resolve } from "node:path";

const root = new URL("..", import.meta.url).pathname;
const rooms = ["shaders", "engine", "models", "refiner", "cli"];
const problems = [];

for (const room of rooms.slice(1)) {
  for (const file of await readdir(join(root, room), { recursive: true }).catch(() => [])) {
    if (!file.endsWith(".ts")) continue;
    const path = join(root, room, file);
    const text = await readFile(path, "utf8");
    for (const [, target] of text.matchAll(/(?:from|import)\s*\(?\s*"([^"]+)"/g)) {
      if (target.startsWith(".")) {
        const to = relative(root, resolve(dirname(path), target)).split("/")[0];
        if (rooms.indexOf(to) > rooms.indexOf(room))
          problems.push(`${room}/${file} imports ${target} from the room above`);
        continue;
      }
      const mayUseNode = room === "cli" || file.startsWith("platform/") || /_node\.ts$/.test(file);
      if (/^node:/.test(target) && !mayUseNode)
        problems.push(`${room}/${file} imports ${target}; move it behind a *_node.ts file`);
    }
  }
}

if (problems.length > 0) {
  console.error(problems.join("\n"));
  process.exit(1);
}
console.log("imports: every import points down");

import { existsSync, readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { rooms } from "../../scripts/rooms.mjs";

const root = fileURLToPath(new URL("../../", import.meta.url));
const text = readFileSync(`${root}CONTRIBUTING.md`, "utf8");

/** Paths that the guide names in code, without globs and placeholders. */
function namedPaths(): string[] {
  const inCode = [...text.matchAll(/`([^`\n]+)`/g)].map(([, code = ""]) => code);
  const inBlocks = [...text.matchAll(/^(?:npx vitest run|node|MIMREFINE_ADAPTER=\w+ npx vitest run) (\S+)/gm)];
  const paths = [...inCode, ...inBlocks.map(([, path = ""]) => path)];
  return paths.filter((path) => /^(shaders|engine|models|refiner|cli|test|scripts)(\/[\w.]+)*$/.test(path));
}

describe("CONTRIBUTING.md", () => {
  it("names files and folders that exist", () => {
    expect(namedPaths().length).toBeGreaterThan(30);
    expect(namedPaths().filter((path) => !existsSync(root + path))).toEqual([]);
  });

  it("names scripts that exist", () => {
    const { scripts } = JSON.parse(readFileSync(`${root}package.json`, "utf8"));
    const named = [...text.matchAll(/npm run ([\w:]+)/g)].map(([, name = ""]) => name);
    expect(named.filter((name) => !(name in scripts))).toEqual([]);
  });

  it("maps every folder of the engine and of the houses beside it", () => {
    const map = text.slice(0, text.indexOf("| operation | canonical order |"));
    const mapped = [...map.matchAll(/^\| `([\w/]+)` \|/gm)].map(([, room = ""]) => room);
    const folders = (house: string): string[] =>
      readdirSync(root + house, { withFileTypes: true })
        .filter((entry) => entry.isDirectory())
        .map((entry) => `${house}/${entry.name}`);
    expect([...folders("engine"), ...folders("refiner")].filter((folder) => !mapped.includes(folder))).toEqual([]);
    const known = rooms.map(({ room }) => room.split("/").slice(0, 2).join("/"));
    expect(
      mapped.filter((room) => room !== "test" && !known.some((other) => `${other}/`.startsWith(`${room}/`))),
    ).toEqual([]);
  });
});

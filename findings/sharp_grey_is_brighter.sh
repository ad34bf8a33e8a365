#!/usr/bin/env bash
# The grey of sharp is not the grey of Pillow: pure red becomes 127 instead of 76.
#
# `greyscale()` weighs the three channels as light (after undoing sRGB's curve) and codes the sum again: red 127, green 220, blue 76.
# Pillow's convert("L") weighs the coded values (ITU-R 601): 76, 150, 29. White and greys agree, so a test with a grey picture finds
# nothing. Whoever trains on one and predicts with the other feeds pictures that are up to 70 levels brighter where they have colour.
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
cat >grey.mjs <<'JS'
import sharp from "sharp";
const seen = [];
for (const colour of [[255, 0, 0], [0, 255, 0], [0, 0, 255], [128, 128, 128]]) {
  const image = sharp(Uint8Array.from(colour), { raw: { width: 1, height: 1, channels: 3 } });
  seen.push((await image.greyscale().raw().toBuffer())[0]);
}
console.log(seen.join(" "));
JS
seen=$(node grey.mjs)
echo "sharp: red, green, blue, grey 128 become $seen"
for python in /usr/bin/python3 python3; do
  "$python" -c 'import PIL' 2>/dev/null && {
    "$python" -c 'from PIL import Image, __version__
colours = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (128, 128, 128)]
print("Pillow", __version__, *(Image.new("RGB", (1, 1), c).convert("L").getpixel((0, 0)) for c in colours))'
    break
  }
done
[ "$seen" = "127 220 76 128" ]

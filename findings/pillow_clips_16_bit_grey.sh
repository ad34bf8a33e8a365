#!/usr/bin/env bash
# Pillow turns a 16-bit grey PNG into a white picture, and reads the bright half of an unsigned 32-bit TIFF as negative.
#
# `Image.open(...).convert("L")` (or "RGB", as every training pipeline calls it) does not scale 16-bit samples but clips them at 255:
# of 0, 200, 10000, 65535 become 0, 200, 255, 255. The same picture with colours is scaled when it is opened. Samples of unsigned 32-bit
# TIFF come out as mode "I", which is signed: 4294967295 is -1, and black after the conversion.
#
# Seen with Pillow 9.4.0 (Debian 12's python3-pil). Prints what it saw; exit 1 if that changes, 3 if another version is installed,
# 4 if none is.
set -uo pipefail
python=""
for one in /usr/bin/python3 python3; do
  "$one" -c "import PIL" 2>/dev/null && { python=$one; break; }
done
[ -n "$python" ] || {
  echo "no Python with PIL was found"
  exit 4
}
version=$("$python" -c "import PIL; print(PIL.__version__)")
[[ "$version" == 9.4.0* ]] || {
  echo "PIL is $version here; this was seen with 9.4.0"
  exit 3
}
"$python" - <<'PY'
import io
import struct
import zlib

from PIL import Image


def png(samples, colour_type):
    """One row of 16-bit samples."""
    per_pixel = 3 if colour_type == 2 else 1
    header = struct.pack(">IIBBBBB", len(samples) // per_pixel, 1, 16, colour_type, 0, 0, 0)
    data = zlib.compress(b"\0" + struct.pack(f">{len(samples)}H", *samples))
    part = lambda name, body: struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
    return b"\x89PNG\r\n\x1a\n" + part(b"IHDR", header) + part(b"IDAT", data) + part(b"IEND", b"")


def tiff(samples):
    """One row of unsigned 32-bit samples."""
    entries = [(256, 4, len(samples)), (257, 4, 1), (258, 3, 32), (259, 3, 1), (262, 3, 1), (273, 4, 8), (277, 3, 1),
               (278, 4, 1), (279, 4, 4 * len(samples)), (339, 3, 1)]
    body = struct.pack(f"<{len(samples)}I", *samples)
    table = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in entries)
    return b"II*\0" + struct.pack("<I", 8 + len(body)) + body + struct.pack("<H", len(entries)) + table + bytes(4)


grey = list(Image.open(io.BytesIO(png([0, 200, 10000, 65535], 0))).convert("L").getdata())
colour = [r for r, _, _ in Image.open(io.BytesIO(png([v for v in (0, 200, 10000, 65535) for _ in range(3)], 2))).convert("RGB").getdata()]
wide = list(Image.open(io.BytesIO(tiff([0, 1000, 2**31, 2**32 - 1]))).getdata())
print("16-bit grey PNG of 0 200 10000 65535:", grey)
print("16-bit colour PNG of the same:", colour)
print("unsigned 32-bit TIFF of 0 1000 2147483648 4294967295:", wide)
raise SystemExit(0 if (grey, colour, wide) == ([0, 200, 255, 255], [0, 0, 39, 255], [0, 1000, -(2**31), -1]) else 1)
PY

#!/usr/bin/env bash
# "Enlarge two pixels to four, linearly" has four answers in Python's image libraries.
#
# Of [0, 255]: Pillow gives 0 64 191 255 (pixel centres, edges repeated). scikit-image's resize gives 63.75 twice and 191.25 twice, so
# that neither 0 nor 255 is left: its default mode "reflect" mirrors without repeating the edge, and places outside the outer centres
# are mixed with the second pixel. SciPy's zoom gives 0 85 170 255, since it aligns the outer centres, and reducing [0 100 200 300] by
# two returns 0 and 300. None warns; a pipeline whose resize is exchanged moves every picture.
#
# Seen with scikit-image 0.19.3, SciPy 1.10.1 and Pillow 9.4.0 (Debian 12). Prints what it saw; exit 1 if that changes, 3 if another
# version is installed, 4 if none is.
set -uo pipefail
python=""
for one in /usr/bin/python3 python3; do
  "$one" -c "import skimage" 2>/dev/null && { python=$one; break; }
done
[ -n "$python" ] || {
  echo "no Python with skimage was found"
  exit 4
}
version=$("$python" -c "import skimage; print(skimage.__version__)")
[[ "$version" == 0.19.3* ]] || {
  echo "skimage is $version here; this was seen with 0.19.3"
  exit 3
}
"$python" - <<'PY'
import numpy as np
from PIL import Image
from scipy.ndimage import zoom
from skimage.transform import resize

row = np.array([[0, 255]], dtype=np.uint8)
seen = {
    "Pillow": list(Image.fromarray(row).resize((4, 1), Image.BILINEAR).getdata()),
    "scikit-image": resize(row, (1, 4), order=1, preserve_range=True)[0].tolist(),
    "scikit-image, mode='edge'": resize(row, (1, 4), order=1, mode="edge", preserve_range=True)[0].tolist(),
    "SciPy": zoom(row[0].astype(float), 2, order=1).round(6).tolist(),
    "SciPy, 0 100 200 300 by a half": zoom(np.array([0.0, 100, 200, 300]), 0.5, order=1).tolist(),
}
for name, values in seen.items():
    print(f"{name}: {values}")
expected = [[0, 64, 191, 255], [63.75, 63.75, 191.25, 191.25], [0, 63.75, 191.25, 255], [0, 85, 170, 255], [0, 300]]
raise SystemExit(0 if [[round(float(v), 6) for v in values] for values in seen.values()] == expected else 1)
PY

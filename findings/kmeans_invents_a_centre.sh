#!/usr/bin/env bash
# KMeans returns a cluster centre that is no mean of any points, where there are fewer distinct points than clusters.
#
# Three points at 0, 0 and 1 in three clusters: the third centre is 0.333, the mean of all data, where no point lies and to which none
# belongs. scikit-learn subtracts the mean before it iterates, leaves the centre of an empty cluster at the origin, and adds the mean
# again. A ConvergenceWarning tells of duplicates; that one of the centres is invented can be seen from `labels_` alone. Whoever uses
# centres as prototypes (nearest centre, codebooks) gets one that attracts new points.
#
# Seen with scikit-learn 1.2.1 (Debian 12's python3-sklearn). Prints what it saw; exit 1 if that changes, 3 if another version is
# installed, 4 if none is.
set -uo pipefail
python=""
for one in /usr/bin/python3 python3; do
  "$one" -c "import sklearn" 2>/dev/null && { python=$one; break; }
done
[ -n "$python" ] || {
  echo "no Python with sklearn was found"
  exit 4
}
version=$("$python" -c "import sklearn; print(sklearn.__version__)")
[[ "$version" == 1.2.1* ]] || {
  echo "sklearn is $version here; this was seen with 1.2.1"
  exit 3
}
"$python" -W ignore - <<'PY'
import numpy as np
from sklearn.cluster import KMeans

data = np.array([[0.0], [0.0], [1.0]])
means = KMeans(3, n_init=1, random_state=0).fit(data)
centres = means.cluster_centers_.ravel()
print("centres:", centres.round(3).tolist(), "labels:", means.labels_.tolist(), "a new point at 0.4 goes to:", centres[means.predict([[0.4]])].round(3).tolist())
unused = set(range(3)) - set(means.labels_.tolist())
raise SystemExit(0 if [round(float(centres[i]), 3) for i in unused] == [0.333] else 1)
PY

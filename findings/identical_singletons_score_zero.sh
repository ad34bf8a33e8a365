#!/usr/bin/env bash
# The adjusted mutual information of two identical clusterings is 0, not 1, for some numbers of singletons.
#
# `adjusted_mutual_info_score(range(n), range(n))` compares a clustering with itself, where every point is a cluster of its own. The
# documentation promises 1 for identical clusterings. It is 1 for 1, 3 and 10 points, and 0 for 2 and 4: index and expectation are
# equal up to rounding, numerator and denominator are both some units of 1e-16, and which of them the guard against a division by zero
# replaces depends on how many points there are. Seen by whoever tests a metric with the smallest example that there is.
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
"$python" - <<'PY'
from sklearn.metrics import adjusted_mutual_info_score, normalized_mutual_info_score

seen = {n: float(adjusted_mutual_info_score(range(n), range(n))) for n in (1, 2, 3, 4, 10)}
print("adjusted, of n singletons with themselves:", seen)
print("normalised, the same:", {n: float(normalized_mutual_info_score(range(n), range(n))) for n in seen})
print("adjusted, two clusters of two with themselves:", adjusted_mutual_info_score([0, 0, 1, 1], [0, 0, 1, 1]))
raise SystemExit(0 if [round(v, 9) for v in seen.values()] == [1, 0, 1, 0, 1] else 1)
PY

#!/usr/bin/env bash
# x.max() and x.max(dim=0).values are the same number with different gradients.
#
# Where the largest value occurs twice, max() over everything shares the gradient among the places; max(dim) gives all of it to one
# index; amax(dim) shares it again. So one loss written in three ways trains differently, for example behind a ReLU, where many values
# are 0. clamp has a third rule: a value that lies on its bound passes the whole gradient, where minimum(x, bound) passes half.
#
# Seen with PyTorch 1.13 (Debian 12's python3-torch), CPU. Prints what it saw; exit 1 if that changes, 3 if another version is
# installed, 4 if none is.
set -uo pipefail
python=""
for one in /usr/bin/python3 python3; do
  "$one" -c "import torch" 2>/dev/null && { python=$one; break; }
done
[ -n "$python" ] || {
  echo "no Python with torch was found"
  exit 4
}
version=$("$python" -c "import torch; print(torch.__version__)")
[[ "$version" == 1.13* ]] || {
  echo "torch is $version here; this was seen with 1.13"
  exit 3
}
"$python" - <<'PY'
import torch

forms = {
    "x.max()": lambda x: x.max(),
    "x.max(0).values": lambda x: x.max(0).values,
    "x.amax(0)": lambda x: x.amax(0),
    "x.clamp(max=2).sum()": lambda x: x.clamp(max=2).sum(),
    "minimum(x, 2).sum()": lambda x: torch.minimum(x, torch.tensor(2.0)).sum(),
}
seen = []
for name, f in forms.items():
    x = torch.tensor([1.0, 2.0, 2.0], requires_grad=True)
    f(x).backward()
    print(f"gradient of {name} at [1, 2, 2]: {x.grad.tolist()}")
    seen.append(x.grad.tolist())
raise SystemExit(0 if seen == [[0, 0.5, 0.5], [0, 1, 0], [0, 0.5, 0.5], [1, 1, 1], [1, 0.5, 0.5]] else 1)
PY

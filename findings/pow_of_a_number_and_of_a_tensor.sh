#!/usr/bin/env bash
# torch.pow(x, 0.5) and torch.pow(x, tensor(0.5)) are two functions.
#
# With a number as the exponent 0.5, PyTorch takes the square root; with a tensor, IEEE 754's pow. They differ where the standard says
# that they do: of minus infinity, sqrt is NaN and pow is infinity; and at -0 the gradient is -inf for the number and +inf for the
# tensor. Moving a constant into a learnable parameter changes results at these places.
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

forms = {"number": 0.5, "tensor": torch.tensor(0.5)}
seen = []
for name, exponent in forms.items():
    value = torch.pow(torch.tensor(-float("inf")), exponent).item()
    x = torch.tensor(-0.0, requires_grad=True)
    torch.pow(x, exponent).backward()
    print(f"exponent as a {name}: (-inf) ** 0.5 is {value}, the gradient at -0 is {x.grad.item()}")
    seen += [str(value), str(x.grad.item())]
raise SystemExit(0 if seen == ["nan", "-inf", "inf", "inf"] else 1)
PY

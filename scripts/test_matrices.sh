#!/usr/bin/env bash
# Kernel tests that need another driver than the machine's: products of subgroup matrices, and subgroups of 4, 8 and 16.
#
#   test_matrices.sh [FOLDER]    unpacks the driver into FOLDER (default: a temporary one, deleted afterwards)
#
# Where its packages cannot be had the tests are skipped, with the reason; whatever else fails is a failure.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=${1:-}
if [ -z "$folder" ]; then
  folder=$(mktemp -d)
  trap 'rm -rf "$folder"' EXIT
fi
status=0
scripts/coopmatrix.sh "$folder" || status=$?
if [ "$status" = 3 ]; then
  echo "skipped: subgroup matrices and subgroup sizes need packages that cannot be had here"
  exit 0
fi
[ "$status" = 0 ] || exit "$status"

# A shader cache of its own, since one driver would fill that of the other.
export MESA_SHADER_CACHE_DIR=$folder/shaders XDG_RUNTIME_DIR=${XDG_RUNTIME_DIR:-/tmp}
inside() { scripts/coopmatrix.sh "$folder" node "$@"; }
tests() { inside node_modules/vitest/vitest.mjs run "$@"; }

# Whether the device is what a run is for: tests skip what an adapter lacks, and all of them would.
expect() {
  inside --input-type=module --eval '
    import { openDevice } from "mimrefine/engine";
    const device = await openDevice({ adapter: "software", notice: () => undefined });
    const { subgroupSize, matrices } = device;
    const shapes = matrices.shapes.map((s) => `${s.rows}x${s.columns}x${s.depth} ${s.component} -> ${s.result}`);
    const found = `subgroups of ${subgroupSize}; ${shapes.join(", ")}`;
    console.log(found);
    process.exit(found.includes(process.argv[1]) ? 0 : 1);
  ' "$1" || {
    echo "expected $1"
    return 1
  }
}

kernels=(test/engine/ops/{matmul,attention,nearest,norm_linear,softmax}.test.ts)
export LP_NATIVE_VECTOR_WIDTH=256
expect "subgroups of 8; 8x8x8 f16"
tests "${kernels[@]}" test/engine/ops/{matmul,attention}_matrix.test.ts test/models/precision.test.ts
one_hash=(test/refiner/one_hash.test.ts -t "on this adapter") # as under Node, Deno, Chromium and without a GPU
tests "${one_hash[@]}"
tests test/cli/gpu_report/gpu_report.test.ts -t "lists the matrices"
# No matrices with the others: none are listed with subgroups of 4, and with 16 the driver ends the process.
for bits in 128 512; do
  export LP_NATIVE_VECTOR_WIDTH=$bits
  expect "subgroups of $((bits / 32));"
  tests "${kernels[@]}"
  tests "${one_hash[@]}"
done

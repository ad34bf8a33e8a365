#!/usr/bin/env bash
# With the npm package webgpu, a device's own adapterInfo lists no subgroup matrices, though its adapter's info lists them.
#
# `adapter.info.subgroupMatrixConfigs` has an entry for each product that the adapter computes at once, and `device.adapterInfo`, which
# the standard makes the same information, has an empty list. Whoever is handed a device, without its adapter, sees none. The entries
# hold their members as getters of their prototype: JSON.stringify makes `{}` of each and Object.keys is empty, so that a report that
# writes them down holds nothing.
#
#   webgpu_device_lists_no_matrices.sh [FOLDER]    FOLDER of scripts/coopmatrix.sh, kept; default: a temporary one
#
# Seen with webgpu 0.6.2 on lavapipe of Mesa 26.1.6, which lists matrices. Prints what it saw; exit 1 if that changes, 3 if another
# version is installed, 4 if the driver cannot be had.
set -uo pipefail
cd "$(dirname "$0")/.."
version=$(node -p 'require("./node_modules/webgpu/package.json").version' 2>/dev/null) || {
  echo "webgpu is not installed; npm ci"
  exit 4
}
[ "$version" = 0.6.2 ] || {
  echo "webgpu is $version here; this was seen with 0.6.2"
  exit 3
}
folder=${1:-}
if [ -z "$folder" ]; then
  folder=$(mktemp -d)
  trap 'rm -rf "$folder"' EXIT
fi
driver=$(scripts/coopmatrix.sh "$folder") || {
  echo "a driver with subgroup matrices cannot be had"
  exit 4
}
echo "webgpu $version, $driver"
LP_NATIVE_VECTOR_WIDTH=256 XDG_RUNTIME_DIR=${XDG_RUNTIME_DIR:-/tmp} scripts/coopmatrix.sh "$folder" node --input-type=module --eval '
  import { create } from "webgpu";
  const gpu = create(["enable-dawn-features=allow_unsafe_apis"]);
  const adapter = await gpu.requestAdapter();
  const device = await adapter.requestDevice({ requiredFeatures: ["chromium-experimental-subgroup-matrix"] });
  const ofAdapter = [...(adapter.info.subgroupMatrixConfigs ?? [])];
  const ofDevice = [...(device.adapterInfo.subgroupMatrixConfigs ?? [])];
  const [first] = ofAdapter;
  const own = first ? Object.keys(first).length : -1;
  console.log(`adapter.info lists ${ofAdapter.length}, device.adapterInfo ${ofDevice.length}`);
  console.log(`the first: ${first?.M} x ${first?.N} x ${first?.K}, ${first?.componentType} to ${first?.resultComponentType}`);
  console.log(`its own members: ${own}; as JSON: ${JSON.stringify(first)}`);
  const isAsSeen = ofAdapter.length > 0 && ofDevice.length === 0 && own === 0 && JSON.stringify(first) === "{}" && first.M > 0;
  process.exit(isAsSeen ? 0 : 1);
' 2>/dev/null

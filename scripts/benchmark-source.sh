#!/usr/bin/env bash
# Puts the source of Google Benchmark into a folder, for static builds: Debian and Ubuntu package no
# static library of it. Through apt, from the system's own package sources, so that the signatures
# are checked. Does nothing when the folder is there.
#
#   scripts/benchmark-source.sh <folder>
set -euo pipefail
folder=${1:?which folder?}
[[ -e $folder/CMakeLists.txt ]] && exit 0
command -v apt-get >/dev/null || {
  echo "benchmark-source.sh: no apt-get here; configure with -DQUANTBENCH_FETCH_DEPS=ON instead" >&2
  exit 1
}

# apt's own state and configuration stay as they are: its source lists, for sources, in a folder here.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/parts" "$work/lists/partial" "$work/unpacked"
for list in /etc/apt/sources.list /etc/apt/sources.list.d/{debian,ubuntu}.{list,sources}; do
  [[ -s $list ]] || continue
  sed -E 's/^deb /deb-src /; s/^Types:.*/Types: deb-src/' "$list" >"$work/parts/${list##*/}"
done
[[ ! -e $work/parts/sources.list ]] || mv "$work/parts/sources.list" "$work/parts/own.list"
options=(-q -o Dir::Etc::sourcelist=/dev/null -o Dir::Etc::sourceparts="$work/parts"
         -o Dir::State::lists="$work/lists" -o APT::Sandbox::User=root)
cd "$work"
apt-get "${options[@]}" update
apt-get "${options[@]}" source --download-only benchmark
tar -xf "$work"/benchmark_*.orig.tar.* -C unpacked --strip-components=1
cd "$OLDPWD"
mkdir -p "$(dirname "$folder")"
rm -rf "$folder"
mv "$work/unpacked" "$folder"

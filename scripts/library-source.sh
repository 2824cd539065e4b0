#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Puts the source packages of libraries into <folder>/<package>, for builds that need a library's
# source: static ones, and those against a newer release than the installed one. Through apt, from
# where this system's packages come from, so that the signatures are checked; apt's own state stays as
# it is. A folder that is there already is left alone.
#
#   scripts/library-source.sh [--release <name>] [--headers] <folder> <package...>
#     --release  of another release of the same archive: sid is Debian's newest
#     --headers  the packages are binary ones of libraries that are headers only, such as libxsimd-dev:
#                unpacked, they are prefixes for CMake, <folder>/<package>/usr
set -euo pipefail
release= kind=deb-src found=CMakeLists.txt
while [[ ${1:-} == --* ]]; do
  case "$1" in
    --release) release=${2:?which release?}; shift 2 ;;
    --headers) kind=deb found=usr/include; shift ;;
    *) echo "library-source.sh: no option '$1'" >&2; exit 2 ;;
  esac
done
folder=${1:?which folder?}
shift

missing=()
for package in "$@"; do
  [[ -e $folder/$package/$found ]] || missing+=("$package")
done
((${#missing[@]})) || exit 0
command -v apt-get >/dev/null || {
  echo "library-source.sh: no apt-get here; configure with -DQUANTBENCH_FETCH_DEPS=ON instead" >&2
  exit 1
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/parts" "$work/lists/partial"
if [[ $release ]]; then
  own=$(. /etc/os-release && echo "$VERSION_CODENAME")
  uri=$(apt-get indextargets --format '$(REPO_URI)' "Codename: $own" | head -n 1)
  keyring=/usr/share/keyrings/debian-archive-keyring.gpg
  [[ $uri && -e $keyring ]] || {
    echo "library-source.sh: no Debian archive is known here to take '$release' from" >&2
    exit 1
  }
  echo "$kind [signed-by=$keyring] $uri $release main" >"$work/parts/own.list"
else
  for list in /etc/apt/sources.list /etc/apt/sources.list.d/{debian,ubuntu}.{list,sources}; do
    [[ -s $list ]] || continue
    sed -E "s/^deb /$kind /; s/^Types:.*/Types: $kind/" "$list" >"$work/parts/${list##*/}"
  done
  [[ ! -e $work/parts/sources.list ]] || mv "$work/parts/sources.list" "$work/parts/own.list"
fi
options=(-q -o Dir::Etc::sourcelist=/dev/null -o Dir::Etc::sourceparts="$work/parts"
         -o Dir::State::lists="$work/lists" -o APT::Sandbox::User=root)
apt-get "${options[@]}" update >"$work/log" || { cat "$work/log" >&2; exit 1; }

unpack() {  # unpack <package>: into ./unpacked; prints what it was
  if [[ $kind == deb ]]; then
    apt-get "${options[@]}" download "$1" >log 2>&1 && dpkg -x "$1"_*.deb unpacked && ls "$1"_*.deb
  else
    apt-get "${options[@]}" source --download-only "$1" >log 2>&1 &&
      tar -xf "$1"_*.orig.tar.* -C unpacked --strip-components=1 && ls "$1"_*.dsc
  fi
}

status=0
for package in "${missing[@]}"; do
  mkdir -p "$work/$package/unpacked"
  if file=$(cd "$work/$package" && unpack "$package"); then
    mkdir -p "$folder"
    rm -rf "${folder:?}/$package"
    mv "$work/$package/unpacked" "$folder/$package"
    echo "$file: in $folder/$package"
  else
    echo "library-source.sh: $package can not be had: $(tail -n 1 "$work/$package/log")" >&2
    status=1
  fi
done
exit $status

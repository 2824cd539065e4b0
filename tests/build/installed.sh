#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Installs the library into prefixes of its own, the static and the shared one, and builds and runs a
# project outside the tree by each: by CMake and by pkg-config, with every compiler there is. The
# shared library shows the functions that the installed headers declare, all of them and nothing else.
#
# gcc does not know the OpenMP of a static library that clang built.
#
#   installed.sh <build folder> <scratch folder> <folder of the project> <the README's example>
#                <C and C++ compilers: gcc:g++ ...>
set -eu
build=$1 scratch=$2 project=$3 example=$4
shift 4
rm -rf "$scratch"

consumer() {  # consumer <prefix> <C compiler> <C++ compiler> <pkg-config: ON or OFF>
  folder=$1-$2-$4
  PKG_CONFIG_PATH=$(dirname "$(find "$1" -name quantbench.pc)")
  export PKG_CONFIG_PATH
  cmake -G Ninja -S "$project" -B "$folder" -DPKG_CONFIG="$4" -DCMAKE_C_COMPILER="$2" \
    -DCMAKE_CXX_COMPILER="$3" -DCMAKE_PREFIX_PATH="$1" >"$folder.log" 2>&1 &&
    cmake --build "$folder" >>"$folder.log" 2>&1 || { cat "$folder.log"; return 1; }
  for program in gemv_c gemv_cc; do
    LD_LIBRARY_PATH=$(dirname "$PKG_CONFIG_PATH") "$folder/$program" >"$folder.out" ||
      { cat "$folder.out"; return 1; }
    echo "${1##*/}, $2, pkg-config $4, $program: $(wc -l <"$folder.out") lines"
  done
  [ "$4" = OFF ] || "$3" -std=c++20 "$example" -o "$folder/example" \
    $(pkg-config --cflags --libs quantbench) # as the README says
}

for kind in static shared; do
  prefix=$scratch/$kind
  cmake --install "$build" --component $kind --prefix "$prefix" >/dev/null
  (cd "$prefix" && find . -type f | sort)
  for compilers in "$@"; do
    c=${compilers%:*} cxx=${compilers#*:}
    command -v "$c" >/dev/null && command -v "$cxx" >/dev/null || continue
    consumer "$prefix" "$c" "$cxx" OFF
    if command -v pkg-config >/dev/null; then
      consumer "$prefix" "$c" "$cxx" ON
    else
      echo "no pkg-config here"
    fi
  done
done

# Functions by their names, one line for each overload: "matmul view_q4_0", "quantbench
# quantbench_free".
headers=$scratch/shared/include/quantbench
nm -D --defined-only "$(find "$scratch/shared" -name 'libquantbench.so')" | awk '$2 != "A" { print $3 }' |
  c++filt | grep -v ' for qb::BadArgument$' | sed -E 's/\(.*//; s/^qb:://; s/^quantbench_/quantbench::&/; s/::/ /g' |
  sort >"$scratch/exported"
for header in "$headers"/*.h; do
  name=${header##*/}
  grep -v '^#' "$header" | tr '\n' ' ' | grep -oE 'QUANTBENCH_API [^;(]*\(' | sed -E "s/\\($//; s/^.*[ *]/${name%.h} /"
done | sort >"$scratch/declared"
members='^matmul PackedWeights '  # of an exported class
if ! grep -v "$members" "$scratch/exported" | diff - "$scratch/declared"; then
  echo "the shared library exports what no header declares (<), or lacks what one does (>)"
  exit 1
fi
echo "shared: $(wc -l <"$scratch/exported") functions"

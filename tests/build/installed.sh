#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Installs the library into a prefix of its own, and builds and runs a project outside the tree by
# it: by CMake and by pkg-config, with every compiler there is. And by the shared library of the
# build folder, which must show the C interface's symbols alone.
#
# gcc does not know the OpenMP of a library that clang built.
#
#   installed.sh <build folder> <scratch folder> <folder of the project> <shared library>
#                <C and C++ compilers: gcc:g++ ...>
set -eu
build=$1 scratch=$2 project=$3 shared=$4
shift 4
rm -rf "$scratch"
cmake --install "$build" --component library --prefix "$scratch/prefix" >/dev/null
(cd "$scratch/prefix" && find . -type f | sort)
export PKG_CONFIG_PATH=$(dirname "$(find "$scratch/prefix" -name quantbench.pc)")
for compilers in "$@"; do
  c=${compilers%:*} cxx=${compilers#*:}
  command -v "$c" >/dev/null && command -v "$cxx" >/dev/null || continue
  for by in OFF ON; do
    [ $by = OFF ] || command -v pkg-config >/dev/null || { echo "no pkg-config here"; continue; }
    folder=$scratch/$c-$by
    cmake -G Ninja -S "$project" -B "$folder" -DPKG_CONFIG=$by -DCMAKE_C_COMPILER=$c \
      -DCMAKE_CXX_COMPILER=$cxx -DCMAKE_PREFIX_PATH="$scratch/prefix" >"$folder.log" 2>&1 &&
      cmake --build "$folder" >>"$folder.log" 2>&1 || { cat "$folder.log"; exit 1; }
    LD_LIBRARY_PATH=$(dirname "$(find "$scratch/prefix" -name 'libquantbench.*' | head -n 1)") \
      "$folder/gemv" >"$folder.out" || { cat "$folder.out"; exit 1; }
    echo "$c, pkg-config $by: $(wc -l <"$folder.out") lines"
  done
done

others=$(nm -D --defined-only "$shared" | awk '$3 !~ /^quantbench_/ && $2 != "A"')
[ -z "$others" ] || { echo "the shared library exports: $others"; exit 1; }
"${1%:*}" -I "$scratch/prefix/include" "$project/gemv.c" "$shared" -lm -o "$scratch/shared"
LD_LIBRARY_PATH=$(dirname "$shared") "$scratch/shared" >"$scratch/shared.out"
echo "shared: $(wc -l <"$scratch/shared.out") lines"

#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The steps of docs/your-own-kernel.md: installs into a prefix of its own, builds examples/plugin
# outside the tree with nothing but that, and has the installed programs check and run it.
#
#   example.sh <build folder> <scratch folder> <examples/plugin> <C compiler>
set -eu
build=$1 scratch=$2 example=$3 cc=$4
rm -rf "$scratch" && mkdir -p "$scratch"
for component in static program; do
  cmake --install "$build" --component $component --prefix "$scratch/quantbench" >/dev/null
done
cp -r "$example" "$scratch/mine"
cmake -S "$scratch/mine" -B "$scratch/mine/build" -DCMAKE_PREFIX_PATH="$scratch/quantbench" \
  -DCMAKE_C_COMPILER="$cc" >"$scratch/log" 2>&1 &&
  cmake --build "$scratch/mine/build" >>"$scratch/log" 2>&1 || { cat "$scratch/log"; exit 1; }

PATH=$scratch/quantbench/bin:$PATH
cd "$scratch/mine/build"
quantbench --kernels=./libmine.so --list | grep 'mine'
quantbench --kernels=./libmine.so --list | grep -q '^matmul_a32_q4_0 *mine *sse4.2+avx2+fma+f16c *\(runs\|no: \)'
quantbench --kernels=./libmine.so --list | grep -q '^absmax_f32 *mine .*runs' || exit 0  # an older CPU
quantbench --kernels=./libmine.so --profile=smoke --benchmark_filter=/mine/
quantbench-test --kernels=./libmine.so --gtest_brief=1

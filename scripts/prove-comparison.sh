#!/usr/bin/env bash
# Proves quantbench-compare on real binaries: the same binary against itself must not change, and a
# kernel made 5 % slower must be found. Takes a build and about ten minutes on an idle machine.
#
#   scripts/prove-comparison.sh [<quantbench> <the slowed quantbench>]
#
# Without the second binary it is built from HEAD in build/slow, where convert_f16_f32_avx2 converts
# the first 5 % of its input once more. ROUNDS, REPEATS and FILTER can be set.
set -euo pipefail
cd "$(dirname "$0")/.."
old=${1:-build/release/bench/quantbench}
slow=${2:-}
rounds=${ROUNDS:-8}
repeats=${REPEATS:-3}
filter=${FILTER:-'^(absmax|convert)/.*/avx2/n:4096$'}
slowed='convert/f16.f32/avx2/n:4096'
compare=.venv/bin/quantbench-compare

slow_down() {  # slow_down <source tree>
  sed -i -E 's|^(void convert_f16_f32_avx2\(.*\{) (run<.*;) \}$|\1\n  \2\n  asm volatile("" ::: "memory");\n  run<HalfToFloat>(x, n / 20, y);\n}|' \
    "$1/kernels/convert/avx2.cc"
  grep -q 'n / 20' "$1/kernels/convert/avx2.cc"
}

if [[ ! $slow ]]; then
  git worktree remove --force build/slow/source 2>/dev/null || true
  git worktree add --force --detach build/slow/source HEAD
  slow_down build/slow/source
  cmake -S build/slow/source -B build/slow/build -G Ninja -DCMAKE_BUILD_TYPE=Release
  cmake --build build/slow/build --target quantbench
  slow=build/slow/build/bench/quantbench
fi

arguments="--benchmark_repetitions=15 --benchmark_filter=$filter"
changed=0 total=0
for ((i = 1; i <= repeats; ++i)); do
  echo "== the same binary, $i of $repeats"
  "$compare" --run "$old" "$old" --rounds "$rounds" --args "$arguments" --all 2>/dev/null |
    tee build/proof.txt
  changed=$((changed + $(grep -cE '^(faster|slower) ' build/proof.txt || true)))
  total=$((total + $(grep -cE '^(faster|slower|same) ' build/proof.txt || true)))
done
echo "== the slowed binary"
status=0
"$compare" --run "$old" "$slow" --rounds "$rounds" --args "$arguments" --all --fail-above 2% \
  2>/dev/null | tee build/proof.txt || status=$?

echo
echo "the same binary: $changed of $total rows called changed (at most $((total / 20)) may be)"
grep -F "$slowed" build/proof.txt
((total > 0 && changed * 20 <= total)) || { echo "FAILED: too many false alarms"; exit 1; }
grep -qE "^slower .*  $slowed\$" build/proof.txt || { echo "FAILED: the slow-down was not found"; exit 1; }
((status == 1)) || { echo "FAILED: the gate did not fail"; exit 1; }
echo "proved"

#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Proves quantbench-compare on real binaries: the same binary against itself must not change, and
# kernels made 5 % slower must be found. All of it takes hours on a machine that does nothing else.
#
#   scripts/prove-comparison.sh [<quantbench> <the slowed quantbench>]
#
# Without the second binary it is built from HEAD in build/slow, with the kernels of SLOWED delayed.
#   PARTS=same,slowed   which parts to run
#   COMPARISONS=10      comparisons of each part
#   ROUNDS=16           rounds of a comparison
#   REPETITIONS=9       repetitions of a row in a run
#   FILTER, SLOW_FILTER the rows of either part (Google Benchmark's filters)
#   OUTPUT=build/proof  where the runs' files and the comparisons' texts are kept
set -euo pipefail
cd "$(dirname "$0")/.."
old=${1:-build/release/bench/quantbench}
slow=${2:-}
parts=${PARTS:-same,slowed}
comparisons=${COMPARISONS:-10}
rounds=${ROUNDS:-16}
repetitions=${REPETITIONS:-9}
output=${OUTPUT:-build/proof}
compare=.venv/bin/quantbench-compare
# Every array operation and every product by the variants that are dispatched to on current CPUs.
hand='(avx2|avx512|avx512vnni|avx512bf16|neon|neon_dotprod|sve)'
filter=${FILTER:-"^(absmax|convert|quantize|dequantize|pack|unpack|matmul)/[^/]*/$hand/"}
slow_filter=${SLOW_FILTER:-"^(absmax/f32|convert/f16\.f32|dequantize/q8_0\.f32)/$hand/|^matmul/a8\.q4_0/$hand/m:1/"}
# What the slowed binary is slow at: L1, L3 and memory of a conversion, and a product with one row.
slowed=${SLOWED:-'convert/f16\.f32/.*/n:4096$ convert/f16\.f32/.*/n:524288$ convert/f16\.f32/.*/n:[0-9]{8}$ matmul/a8\.q4_0/.*/m:1/'}
mkdir -p "$output"

# The kernels are delayed where they are dispatched from the bench: a call that took t takes 1.05 t.
build_slow() {
  git worktree remove --force build/slow/source 2>/dev/null || true
  git worktree add --force --detach build/slow/source HEAD
  scripts/plant-slow-down.py build/slow/source
  cmake -S build/slow/source -B build/slow/build -G Ninja -DCMAKE_BUILD_TYPE=Release
  cmake --build build/slow/build --target quantbench
  slow=build/slow/build/bench/quantbench
}

count() {  # count <words> <file>: rows that were called one of these
  grep -cE "^($1) " "$2" || true
}

# in_turns <name> <new binary> <filter> <more options...>: a comparison by turns; its text in <name>.txt.
in_turns() {
  local status=0
  "$compare" --run "$old" "$2" --rounds "$rounds" --keep "$output/$1" --all --fail-above 5% \
    --args "--benchmark_repetitions=$repetitions --benchmark_filter=$3" "${@:4}" \
    >"$output/$1.txt" 2>"$output/$1.log" || status=$?
  ((status < 2)) || { cat "$output/$1.log" >&2; exit "$status"; }
  return "$status"
}

changed=0 total=0 undecided=0 gates=0
tally() {  # tally <comparison's name> <exit status>
  local text=$output/$1.txt
  changed=$((changed + $(count 'faster|slower' "$text")))
  undecided=$((undecided + $(count 'undecided' "$text")))
  total=$((total + $(count 'faster|slower|same|undecided' "$text")))
  gates=$((gates + $2))
  printf '%-12s %4d rows: %d changed, %d undecided, the gate %s\n' "$1" \
    "$(count 'faster|slower|same|undecided' "$text")" "$(count 'faster|slower' "$text")" \
    "$(count 'undecided' "$text")" "$([[ $2 == 0 ]] && echo passed || echo FAILED)"
  grep -E '^(faster|slower) ' "$text" || true
}

# The files that the rounds kept, as if nobody had taken turns: the first half of the rounds beside the
# second half, and one file beside one of the other half.
by_files() {  # by_files <name of the comparison in turns>
  local first=() second=() i status=0
  for ((i = 0; i < rounds; ++i)); do
    if ((i * 2 < rounds)); then first+=("$output/$1"/{old,new}-$i.json)
    else second+=("$output/$1"/{old,new}-$i.json); fi
  done
  "$compare" "$(IFS=,; echo "${first[*]}")" "$(IFS=,; echo "${second[*]}")" --all --fail-above 5% \
    >"$output/$1-files.txt" 2>&1 || status=$?
  tally "$1-files" "$status"
  # One file a side: nothing may be called changed, and the gate says that it can't tell.
  status=0
  "$compare" "${first[0]}" "${second[0]}" --all --fail-above 5% >"$output/$1-two.txt" 2>&1 || status=$?
  tally "$1-two" "$((status == 1))"
}

failed=0
echo "$(date -u +%F), $("$old" --version 2>/dev/null || true)$(git rev-parse --short=12 HEAD);" \
  "$comparisons comparisons of $rounds rounds, $repetitions repetitions"
if [[ ,$parts, == *,same,* ]]; then
  echo "== the same binary against itself, rows $filter"
  for ((i = 1; i <= comparisons; ++i)); do
    status=0
    in_turns "same-$i" "$old" "$filter" || status=$?
    tally "same-$i" "$status"
    by_files "same-$i"
  done
  echo "the same binary: $changed of $total rows called changed (at most $((total / 40)) may be)," \
    "$undecided undecided; the gate failed $gates times (it may not)"
  ((total > 0 && changed * 40 <= total && gates == 0)) || failed=1
fi
if [[ ,$parts, == *,slowed,* ]]; then
  [[ $slow ]] || build_slow
  echo "== the slowed binary, rows $slow_filter"
  declare -A found seen
  for ((i = 1; i <= comparisons; ++i)); do
    in_turns "slowed-$i" "$slow" "$slow_filter" || true
    for row in $slowed; do
      [[ $(grep -cE "^(faster|slower|same|undecided) .*  $row" "$output/slowed-$i.txt" || true) == 0 ]] ||
        seen[$row]=$((${seen[$row]:-0} + 1))
      if grep -qE "^slower .*  $row" "$output/slowed-$i.txt"; then
        found[$row]=$((${found[$row]:-0} + 1))
      fi
    done
    echo "slowed-$i"
    grep -E '^(faster|slower) ' "$output/slowed-$i.txt" || true
  done
  for row in $slowed; do
    echo "$row: found in ${found[$row]:-0} of ${seen[$row]:-0} comparisons"
    ((${seen[$row]:-0} > 0 && ${found[$row]:-0} * 10 >= ${seen[$row]:-0} * 9)) || failed=1
  done
fi
((failed == 0)) && echo "proved" || { echo "NOT proved"; exit 1; }

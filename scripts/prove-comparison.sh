#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Proves quantbench-compare on real binaries: the same binary against itself must not change, and
# kernels made 5 % slower must be found. All of it takes hours on a machine that does nothing else.
#
#   scripts/prove-comparison.sh [<quantbench> <the slowed quantbench>]
#
# Without the second binary it is built from HEAD in build/slow, with the kernels of SLOWED delayed.
#   PARTS=same,slowed   which parts to run
#   COMPARISONS=10      comparisons of each part and group of rows
#   ROUNDS=16           rounds of a comparison
#   REPETITIONS=9       repetitions of a row in a run
#   ROWS, SLOW_ROWS     the rows of either part: groups that are compared one after the other, each a
#                       regular expression of op/format; @ is the variants that are dispatched to
#   OUTPUT=build/proof  where the runs' files and the comparisons' texts are kept
#   MOST=N              at most so many comparisons in this call
#
# A comparison that OUTPUT has is not made again. So a machine that is free for some minutes at a time
# can do it in parts: MOST=1, again and again, until the exit status is no longer 3.
set -euo pipefail
cd "$(dirname "$0")/.."
old=${1:-build/release/bench/quantbench}
slow=${2:-}
parts=${PARTS:-same,slowed}
comparisons=${COMPARISONS:-10}
rounds=${ROUNDS:-16}
repetitions=${REPETITIONS:-9}
output=${OUTPUT:-build/proof}
left=${MOST:-1000000}
compare=.venv/bin/quantbench-compare
# Every array operation and every product, by the variants that are dispatched to here.
rows=${ROWS:-absmax convert quantize/f32 quantize/f16 dequantize pack unpack matmul/a32.f matmul/a32.s \
  matmul/a32.[^fs] matmul/f16 matmul/a8.s matmul/a8.[^s] matmul/abf16.[fs] matmul/abf16.[^fs]}
slow_rows=${SLOW_ROWS:-absmax/f32/ convert/f16.f32/ dequantize/q8_0.f32/ matmul/a8.q4_0/@/m:1/}
# What the slowed binary is slow at: L1, L3 and memory of a conversion, and a product with one row.
slowed=${SLOWED:-'convert/f16\.f32/.*/n:4096$ convert/f16\.f32/.*/n:524288$ convert/f16\.f32/.*/n:[0-9]{8}$ matmul/a8\.q4_0/.*/m:1/'}
dispatched=$("$old" --list | awk '/dispatched to/ {print $2}' | sort -u | paste -sd'|')
mkdir -p "$output"

# The kernels are delayed where they are dispatched from the bench: a call that took t takes 1.05 t.
build_slow() {
  slow=build/slow/build/bench/quantbench
  [[ ! -x $slow ]] || return 0
  git worktree remove --force build/slow/source 2>/dev/null || true
  git worktree add --force --detach build/slow/source HEAD
  scripts/plant-slow-down.py build/slow/source
  cmake -S build/slow/source -B build/slow/build -G Ninja -DCMAKE_BUILD_TYPE=Release
  cmake --build build/slow/build --target quantbench
}

count() {  # count <words> <file>: rows that were called one of these
  grep -cE "^($1) " "$2" || true
}

# in_turns <name> <new binary> <rows>: a comparison by turns, its text in <name>.txt; sets `gate`.
in_turns() {
  local status=0 filter="^$3"
  [[ $filter == *@* ]] || filter+='.*/@/'
  "$compare" --run "$old" "$2" --rounds "$rounds" --keep "$output/$1" --all --fail-above 5% \
    --args "--no-peers --benchmark_repetitions=$repetitions --benchmark_filter=${filter/@/($dispatched)}" \
    >"$output/$1.txt" 2>"$output/$1.log" || status=$?
  ((status < 2)) || { cat "$output/$1.log" >&2; exit "$status"; }
  gate=$status
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
  echo "$status" >"$output/$1-files.status"
  # One file a side: nothing may be called changed, and the gate says that it can't tell.
  status=0
  "$compare" "${first[0]}" "${second[0]}" --all --fail-above 5% >"$output/$1-two.txt" 2>&1 || status=$?
  echo "$((status == 1))" >"$output/$1-two.status"
}

# name <part> <rows> <number>: of a comparison, as a file's name.
name() { echo "$1-$(tr -c 'a-z0-9\n' '_' <<<"$2")-$3"; }

# each <part> <new binary> <rows...>: makes the comparisons that are missing, as many as MOST allows.
missing=0 gate=0
each() {
  local part=$1 new=$2 i group at
  shift 2
  for ((i = 1; i <= comparisons; ++i)); do
    for group in "$@"; do
      at=$(name "$part" "$group" "$i")
      [[ ! -e $output/$at.status ]] || continue
      if ((left-- <= 0)); then
        missing=$((missing + 1))
        continue
      fi
      in_turns "$at" "$new" "$group"
      [[ $part != same ]] || by_files "$at"
      echo "$gate" >"$output/$at.status"  # last: what has it is whole
    done
  done
}

judge_same() {
  local changed=0 total=0 undecided=0 gates=0 status text at
  echo "== the same binary against itself, rows of $dispatched"
  for status in "$output"/same-*.status; do
    [[ -e $status ]] || continue
    text=${status%.status}.txt
    at=$(basename "$text" .txt)
    changed=$((changed + $(count 'faster|slower' "$text")))
    undecided=$((undecided + $(count 'undecided' "$text")))
    total=$((total + $(count 'faster|slower|same|undecided' "$text")))
    gates=$((gates + $(<"$status")))
    printf '%-30s %4d rows: %d changed, %d undecided, the gate %s\n' "$at" \
      "$(count 'faster|slower|same|undecided' "$text")" "$(count 'faster|slower' "$text")" \
      "$(count 'undecided' "$text")" "$([[ $(<"$status") == 0 ]] && echo passed || echo FAILED)"
    grep -E '^(faster|slower) ' "$text" || true
  done
  echo "the same binary: $changed of $total rows called changed (at most $((total / 40)) may be)," \
    "$undecided undecided; the gate failed $gates times (it may not)"
  ((total > 0 && changed * 40 <= total && gates == 0))
}

judge_slowed() {
  local row text found seen failed=0
  echo "== the slowed binary"
  for row in $slowed; do
    found=0 seen=0
    for text in "$output"/slowed-*.txt; do
      [[ -e ${text%.txt}.status ]] || continue
      if grep -qE "^(faster|slower|same|undecided) .*  $row" "$text"; then seen=$((seen + 1)); fi
      if grep -qE "^slower .*  $row" "$text"; then found=$((found + 1)); fi
    done
    echo "$row: found in $found of $seen comparisons"
    ((seen > 0 && found * 10 >= seen * 9)) || failed=1
  done
  cat "$output"/slowed-*.txt 2>/dev/null | grep -E '^(faster|slower) ' || true
  return $failed
}

[[ ,$parts, != *,slowed,* || $slow ]] || build_slow
# shellcheck disable=SC2086  # groups are words
{
  [[ ,$parts, != *,same,* ]] || each same "$old" $rows
  [[ ,$parts, != *,slowed,* ]] || each slowed "$slow" $slow_rows
}
if ((missing > 0)); then
  echo "$missing comparisons are still to be made, in $output"
  exit 3
fi
failed=0
echo "$(date -u +%F), $(git rev-parse --short=12 HEAD);" \
  "$comparisons comparisons of $rounds rounds, $repetitions repetitions"
[[ ,$parts, != *,same,* ]] || judge_same || failed=1
[[ ,$parts, != *,slowed,* ]] || judge_slowed || failed=1
((failed == 0)) && echo "proved" || { echo "NOT proved"; exit 1; }

#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Proves the fleet's scripts on a real Slurm, with three emulated nodes on this machine: ReFrame submits
# two runs per node, one node is drained in mid-run, one job is killed. What finished is kept, what did
# not is named, and the same command completes it. Then the array script does the same. About a minute.
#
#   bench/fleet/prove-slurm.sh QUANTBENCH [PYTHON]
#     QUANTBENCH  the program, or a folder with the static binaries
#     PYTHON      one that has ReFrame and the results tools' packages (default: .venv/bin/python)
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
[[ ${1:-} != -h && ${1:-} != --help && $# -ge 1 ]] ||
  { sed -n '3,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0"; exit 2; }
binaries=$(realpath "$1")
python=$(realpath -s "${2:-$root/.venv/bin/python}")
work=$(mktemp -d)
cluster=$work/cluster
runner=
finish() {
  local rc=$?
  trap - EXIT
  [[ ! $runner ]] || { pkill -P "$runner"; kill "$runner"; } 2>/dev/null || true  # the shell of the job, and ReFrame in it
  "$here/slurm-cluster.sh" stop "$cluster" || true
  if ((rc)); then
    tail -n 40 "$work"/*.log 2>/dev/null || true
    echo "FAILED; what it wrote stays in $work"
  else
    rm -rf "$work"
  fi
  exit "$rc"
}
trap finish EXIT
fail() { echo "prove-slurm.sh: $*"; exit 1; }
said() { printf "  %s (%d s)\n" "$*" "$SECONDS"; }
until_true() {  # until_true <seconds> <what> <command...>
  local deadline=$((SECONDS + $1))
  until "${@:3}" >/dev/null 2>&1; do
    ((SECONDS < deadline)) || fail "waited $1 s in vain: $2"
    sleep 0.2
  done
}

rows='^absmax/f32/(scalar|avx2)/,^absmax/f16/(scalar|avx2)/'
first=absmax-f32--scalar-avx2 second=absmax-f16--scalar-avx2
kept=$work/kept
fleet() {  # fleet <log> <option...>
  "$(dirname "$python")/reframe" -C "$here/settings.py" -c "$here/quantbench_reframe.py" --system=cluster \
    --prefix="$work/reframe" -n QuantbenchStatic -p static -r --nocolor --distribute=all \
    -S binaries="$binaries" -P "rows=$rows" -S kept="$kept" -S store="$work/results" \
    -S 'arguments=--benchmark_repetitions=9 --benchmark_min_time=0.05 --shape=n:4096 --shape=n:65536' "${@:2}" >"$1" 2>&1
}
state() { { "$here/is-complete.py" "$1" || true; } | sed 's/^[^:]*: //'; }
file_of() { echo "$kept/cluster-$1/$3/$2.json"; }  # file_of <partition> <node> <rows>
running() { squeue -h -t RUNNING -w "$1" -o %i | head -n 1 | grep .; }

echo "A cluster of three nodes:"
"$here/slurm-cluster.sh" start "$cluster" | sed 's/^/  /'
export SLURM_CONF=$cluster/slurm.conf

echo "ReFrame, two runs a node; n2 is drained in mid-run, the job on n3 is killed:"
fleet "$work/first.log" &
runner=$!
until_true 120 'a job on n2' running n2
until_true 120 'a job on n3' running n3
scontrol update nodename=n2 state=drain reason=proof
until_true 120 'rows of n3' grep -rq '"name"' "$kept/cluster-xeon"
scancel "$(running n3)"
status=0
wait "$runner" || status=$?
runner=
((status)) || fail 'ReFrame passed although a job was killed'

complete=$(find "$kept" -name '*.json' -exec "$here/is-complete.py" {} \; | grep -c ': complete$' || true)
said "complete: $complete of 6"
[[ $complete == 4 ]] || fail "$complete files are complete, not 4 (n1: two, n2: one, n3: one)"
# Three nodes on one machine disturb each other: a file may have a row that is impossible, and says so.
handed=$(grep -rlE 'stored as|: error: impossible' "$work/reframe" --include=validated.txt | wc -l)
[[ $handed == 4 ]] || fail "$handed files were handed to quantbench-validate, not the 4 complete ones"
broken=$(find "$kept" -name '*.json' -exec "$here/is-complete.py" {} \; | sed -n 's/: interrupted.*//p')
[[ $(wc -w <<<"$broken") == 1 && $broken == */n3.json ]] || fail "interrupted: '$broken', not one file of n3"
before=$(state "$broken" | tr -dc 0-9)
said "interrupted: n3, $(state "$broken")"
grep -E 'FAIL.*' "$work/first.log" | head -n 4 | sed 's/^/  /'
for node in n2 n3; do
  grep -qE "^\[ *FAIL *\].*\b$node\b|nodelist.*$node" "$work/first.log" || fail "the log does not name $node"
done

echo "n2 is back, the same command again:"
scontrol update nodename=n2 state=resume
cp "$broken" "$work/interrupted.json"
fleet "$work/second.log" || fail 'the second run failed'
for node in zen:n1 zen:n2 xeon:n3; do
  for run in "$first" "$second"; do
    file=$(file_of "${node%:*}" "${node#*:}" "$run")
    [[ $(state "$file") == complete ]] || fail "$file: $(state "$file")"
  done
done
"$python" - "$work/interrupted.json" "$broken" <<'PYTHON' || fail 'resumed rows were timed anew'
import json, sys
old, new = ({(b["name"], b.get("repetition_index")): b["real_time"] for b in json.load(open(p))["benchmarks"]}
            for p in sys.argv[1:])
sys.exit(not old or len(new) <= len(old) or any(new[key] != time for key, time in old.items()))
PYTHON
said "all 6 are complete; the $before rows that n3 had were kept"
[[ $(grep -c '^P: absmax_L1_share' "$work/second.log") == 6 ]] || fail 'figures are missing'
PYTHONPATH=$root/results "$python" -m quantbench_results.report --fleet "$work/results" --output "$work/page" >"$work/page.log"
grep -qE '<h1>quantbench: 3 machines, 6 files' "$work/page.html" || fail 'the report does not have 3 machines, 6 files'
said "the report: $(grep -o '<h1>[^<]*' "$work/page.html" | cut -c5-)"

echo "The array script, with n1 drained:"
array() {
  "$here/slurm-array.sh" "$binaries" "$work/array" -- --profile=smoke "--benchmark_filter=^absmax/"
}
scontrol update nodename=n1 state=drain reason=proof
if array >"$work/array.log" 2>&1; then fail 'the array script passed without n1'; fi
sed 's/^/  /' "$work/array.log"
grep -q '^n1: the node is not available' "$work/array.log" || fail 'n1 is not named'
grep -q "^n2: complete" "$work/array.log" || fail "n2 is not complete"
[[ ! -e $work/array/n1.json ]] || fail "something ran on n1"
scontrol update nodename=n1 state=resume
idle() { [[ $(sinfo -h -n "$1" -o %t | sort -u) == idle ]]; }
until_true 20 'n1 is back' idle n1
array >"$work/array2.log" 2>&1 || { cat "$work/array2.log"; fail 'the array script does not complete it'; }
sed 's/^/  /' "$work/array2.log"
echo "passed in $SECONDS s"

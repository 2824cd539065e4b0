#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# One machine's share of a fleet's run, whichever scheduler started it: takes the binary for this
# machine's architecture, pins it to a CPU that it may use, writes one file named after the node, and
# continues that file if an earlier run was cut off.
#
#   run-on-node.sh BINARIES FOLDER [option of quantbench ...]
#     BINARIES  a folder with quantbench-x86_64 and quantbench-aarch64 (make dist dist-aarch64), or
#               one program
#     FOLDER    where <node>.json is kept; every node sees it, or it is copied from there
#   QB_NODE=NAME  what the machine is called in the file (default: Slurm's name of it, or the host's)
#   QB_PIN=CPU    the CPU to pin to (default: the first that this job may use); QB_PIN=no: none
#
# The last two lines say where the results are and the exit status, which is quantbench's.
set -uo pipefail
[[ ${1:-} == -h || ${1:-} == --help ]] && { sed -n '3,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0"; exit 0; }
(($# >= 2)) || { echo "usage: run-on-node.sh BINARIES FOLDER [option ...]" >&2; exit 2; }
binaries=$1
folder=$2
shift 2

binary=$binaries
[[ ! -d $binaries ]] || binary=$binaries/quantbench-$(uname -m)
[[ -x $binary ]] || { echo "run-on-node.sh: no program '$binary' for $(uname -m)" >&2; exit 2; }
mkdir -p "$folder" || exit 2

# The name ends up in a path: only what is harmless there.
node=${QB_NODE:-${SLURMD_NODENAME:-$(uname -n)}}
node=$(tr -c 'A-Za-z0-9._\n-' '_' <<<"$node" | sed 's/^\.*//')
file=$folder/${node:-node}.json

# Not once more: caches are measured anew by every run, and other sizes would be added to the file.
if grep -qsE '^ *"complete": *true,?$' "$file"; then
  echo "complete already"
  echo "results: $file"
  echo "exit status: 0"
  exit 0
fi

options=(--benchmark_out="$file" --resume --benchmark_context=node="${node:-node}")
if [[ ${QB_PIN:-} != no ]]; then
  # The first CPU of "2-5,8".
  first=$(sed -n 's/^Cpus_allowed_list:[[:space:]]*\([0-9]*\).*/\1/p' /proc/self/status)
  options+=(--pin="${QB_PIN:-$first}")
fi

# A signal is handed on: quantbench ends its file and says which rows are missing. Slurm signals every
# process of a job by itself, and a second signal would cut quantbench short.
"$binary" "${options[@]}" "$@" &
pid=$!
hand_on() { [[ ${SLURM_JOB_ID:-} ]] || kill -TERM "$pid" 2>/dev/null; }
trap hand_on TERM INT
wait "$pid"
status=$?
while kill -0 "$pid" 2>/dev/null; do
  wait "$pid"
  status=$?
done
echo "results: $file"
echo "exit status: $status"
exit "$status"

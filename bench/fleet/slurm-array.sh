#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# quantbench on every node of a Slurm cluster without ReFrame: an array job, a node for each element.
#
#   bench/fleet/slurm-array.sh BINARIES FOLDER [-p PARTITION] [-- option of quantbench ...]
#
# BINARIES and FOLDER as for run-on-node.sh. Submits, waits, and says which nodes have a complete
# file; exit status 0 if all have. The same command once more runs what is missing and continues what
# was cut off. Nodes that are down or drained are named and left out.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)

# Within the array: whichever node the element is on.
if [[ ${QB_ARRAY_SCRIPTS:-} && ${SLURM_ARRAY_TASK_ID:-} ]]; then
  exec "$QB_ARRAY_SCRIPTS/run-on-node.sh" "$@"
fi

# It would give every element the same file.
[[ ! ${QB_NODE:-} ]] || { echo "slurm-array.sh: QB_NODE is set, and would name all nodes alike" >&2; exit 2; }
[[ ${1:-} == -h || ${1:-} == --help ]] && { sed -n '3,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0"; exit 0; }
(($# >= 2)) || { echo "usage: slurm-array.sh BINARIES FOLDER [-p PARTITION] [-- option ...]" >&2; exit 2; }
binaries=$(realpath "$1")
mkdir -p "$2"
folder=$(realpath "$2")
shift 2
partition=(--partition="$(sinfo -h -o %R | paste -sd,)")  # all of them
if [[ ${1:-} == -p ]]; then
  partition=(--partition="${2:?-p: which partition?}")
  shift 2
fi
[[ ${1:-} != -- ]] || shift

complete() { [[ -f $folder/$1.json ]] && "$here/is-complete.py" "$folder/$1.json" >/dev/null; }

mapfile -t all < <(sinfo -h -N -o %N "${partition[@]}" | sort -u)
# Those that a job may start on, now or when they are free. (--states=idle has drained ones as well.)
usable_nodes() {
  sinfo -h -N -o '%N %t' "${partition[@]}" | awk '$2 ~ /^(idle|alloc|mix|comp)$/ { print $1 }' | sort -u
}

# An array of as many elements as there are nodes without a complete file, each alone on its node, the
# other nodes excluded. Where nodes were busy, elements may have shared one: then another round.
for round in 1 2 3; do
  mapfile -t usable < <(usable_nodes)
  left=() done=() exclude=()
  for node in "${all[@]}"; do
    if [[ " ${usable[*]} " != *" $node "* ]] || complete "$node" ||
       { ((round > 1)) && [[ -f $folder/$node.json ]]; }; then
      done+=("$node")
    else
      left+=("$node")
    fi
  done
  ((${#left[@]})) || break
  ((${#done[@]} == 0)) || exclude=(--exclude="$(IFS=,; echo "${done[*]}")")
  job=$(QB_ARRAY_SCRIPTS=$here sbatch --parsable --job-name=quantbench --export=ALL \
    --array="0-$((${#left[@]} - 1))" "${exclude[@]}" --exclusive --nodes=1 \
    --ntasks=1 --output="$folder/%A-%a.log" "${partition[@]}" "$0" "$binaries" "$folder" "$@")
  echo "job $job: ${#left[@]} nodes: ${left[*]}"
  while [[ $(squeue -h -j "$job" 2>/dev/null) ]]; do
    # What a node was drained for never starts.
    if [[ ! $(squeue -h -t RUNNING -j "$job" 2>/dev/null) ]] &&
       squeue -h -t PENDING -o %r -j "$job" 2>/dev/null | grep -qE 'ReqNodeNotAvail|DOWN|DRAIN|Constraints'; then
      scancel "$job"
    fi
    sleep 1
  done
done

mapfile -t usable < <(usable_nodes)
missing=0
for node in "${all[@]}"; do
  if complete "$node"; then
    echo "$node: complete"
  else
    missing=1
    if [[ ! " ${usable[*]} " == *" $node "* ]]; then why="the node is not available"
    elif [[ -f $folder/$node.json ]]; then why="interrupted; the same command continues it"
    else why="no file: its job never started or could not run ($folder/*.log)"; fi
    echo "$node: $why"
  fi
done
exit "$missing"

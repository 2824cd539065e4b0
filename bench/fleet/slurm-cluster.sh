#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A Slurm cluster on this machine, for tests: a controller and three nodes with different features,
# each a slurmd of its own, with configuration, ports, keys and logs in one folder. It touches no
# other Slurm that is installed, and needs neither root nor a running service.
#
#   bench/fleet/slurm-cluster.sh start FOLDER   starts it; then: export SLURM_CONF=FOLDER/slurm.conf
#   bench/fleet/slurm-cluster.sh stop FOLDER    stops it, waits until it has ended
#
# Debian's slurm-wlm and munge: scripts/install-deps.sh --slurm
set -euo pipefail

usage() { sed -n '3,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0"; }
[[ ${1:-} == -h || ${1:-} == --help ]] && { usage; exit 0; }
(($# == 2)) || { usage >&2; exit 2; }
verb=$1
mkdir -p "$2"
folder=$(cd "$2" && pwd)
export SLURM_CONF=$folder/slurm.conf
PATH=$PATH:/usr/sbin
nodes=(n1 n2 n3)

# Ports that nobody has, all held open until all are found.
free_ports() {  # free_ports <count>
  python3 - "$1" <<'PYTHON'
import socket, sys
held = [socket.socket() for _ in range(int(sys.argv[1]))]
for one in held:
    one.bind(("127.0.0.1", 0))
print(*(one.getsockname()[1] for one in held))
PYTHON
}

configure() {
  local controller ports user cpus
  read -r controller ports < <(free_ports 4)
  read -r -a ports <<<"$ports"
  user=$(id -un)
  cpus=$(nproc)
  dd if=/dev/urandom of="$folder/munge.key" bs=1024 count=1 status=none
  chmod 600 "$folder/munge.key"
  cat >"$SLURM_CONF" <<CONF
ClusterName=quantbench
SlurmctldHost=$(hostname -s)(127.0.0.1)
SlurmctldPort=$controller
SlurmUser=$user
SlurmdUser=$user
AuthType=auth/munge
AuthInfo=socket=$folder/munge.socket
CredType=cred/munge
CryptoType=crypto/munge
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool.%n
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.%n.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=batch_sched_delay=1,sched_interval=1
JobCompType=jobcomp/filetxt
JobCompLoc=$folder/completed.txt
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
ReturnToService=2
KillWait=5
MinJobAge=600
NodeName=n1 NodeHostname=$(hostname -s) NodeAddr=127.0.0.1 Port=${ports[0]} CPUs=$cpus Feature=zen,avx2
NodeName=n2 NodeHostname=$(hostname -s) NodeAddr=127.0.0.1 Port=${ports[1]} CPUs=$cpus Feature=zen,avx512
NodeName=n3 NodeHostname=$(hostname -s) NodeAddr=127.0.0.1 Port=${ports[2]} CPUs=$cpus Feature=xeon,avx512
PartitionName=zen Nodes=n1,n2 MaxTime=INFINITE State=UP Default=YES
PartitionName=xeon Nodes=n3 MaxTime=INFINITE State=UP
CONF
}

start() {
  for tool in munged slurmctld slurmd sinfo; do
    command -v "$tool" >/dev/null ||
      { echo "slurm-cluster.sh: no $tool here; scripts/install-deps.sh --slurm installs it" >&2; exit 2; }
  done
  [[ ! -e $folder/slurmctld.pid ]] || { echo "slurm-cluster.sh: $folder: a cluster is there" >&2; exit 2; }
  chmod 755 "$folder"
  mkdir -p "$folder/state"
  configure
  munged --force --num-threads=2 --key-file="$folder/munge.key" --socket="$folder/munge.socket" \
    --pid-file="$folder/munged.pid" --log-file="$folder/munged.log" --seed-file="$folder/munge.seed"
  slurmctld -c
  local node
  for node in "${nodes[@]}"; do
    mkdir -p "$folder/spool.$node"
    slurmd -N "$node"
  done
  local deadline=$((SECONDS + 30))
  until [[ $(sinfo -h -N -t idle -o %N | sort -u | wc -l) == "${#nodes[@]}" ]]; do
    ((SECONDS < deadline)) || { echo "slurm-cluster.sh: nodes did not come up:" >&2; sinfo -N -l >&2; tail -n 5 "$folder"/*.log >&2; stop; exit 1; }
    sleep 0.3
  done
  sinfo -N -o '%N %f %T'
}

# Not one that has ended and waits for its parent, which a container's first process may never be.
running() { [[ $(sed 's/.*) //; s/ .*//' "/proc/$1/stat" 2>/dev/null) =~ [^Z] ]]; }

# By the process ids that each wrote into the folder, the controller first; its jobs before it.
stop() {
  local file pid deadline=$((SECONDS + 15)) pids=()
  if [[ -s $folder/slurmctld.pid ]]; then
    timeout 10 scancel --quiet -u "$(id -un)" || true
    until [[ -z $(timeout 5 squeue -h 2>/dev/null) ]] || ((SECONDS > deadline - 5)); do sleep 0.2; done
  fi
  for file in "$folder"/slurmctld.pid "$folder"/slurmd.*.pid "$folder"/munged.pid; do
    [[ -s $file ]] || continue
    pid=$(<"$file")
    [[ $(tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null) =~ slurm|munge ]] || continue
    kill "$pid" 2>/dev/null && pids+=("$pid")
  done
  for pid in "${pids[@]}"; do
    while running "$pid"; do
      ((SECONDS < deadline)) || { kill -9 "$pid" 2>/dev/null || true; break; }
      sleep 0.1
    done
  done
  rm -f "$folder"/*.pid
}

case $verb in
  start) start ;;
  stop) stop ;;
  *) usage >&2; exit 2 ;;
esac

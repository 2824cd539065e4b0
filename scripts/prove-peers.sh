#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Proves that the comparison with peers (vs_best_peer) favours nobody: a peer that is our own kernel,
# bound and called as another project's is (quantbench --self-peer), must come out at 1.00 +- 0.02: in
# L1, L2 and L3, for one row of activations and for several, and for cold weights. Takes a build and some
# minutes on an idle machine.
#
#   scripts/prove-peers.sh [<quantbench>]
#
# Each row is compared in RUNS (5) processes, since where memory comes to lie differs from process to
# process; the median counts. WITHIN (0.02), SHAPES, TOLD and ROWS can be set, and FOLDER, where runs are
# kept: a later call with the same folder adds its runs to them, so that a machine that is free for a few
# minutes at a time can do it in parts (RUNS=1 FOLDER=build/peers-proof); RUNS=0 judges what is there.
# What it prints is kept as docs/peer-comparison-proof.txt.
#
# The shapes TOLD are printed but not judged. A peer's product is called through one virtual call more
# than our own kernel, which is a nanosecond or two: up to 4 % of a product of 1 x 32 x 128 that takes 40
# ns (1.035 of a8.s8, 1.00 of a32 on an Emerald Rapids), and under 2 % in every one of SHAPES. So
# vs_best_peer favours us by that much in calls that short.
set -euo pipefail
cd "$(dirname "$0")/.."
quantbench=${1:-build/release/bench/quantbench}
runs=${RUNS:-5}
rows=${ROWS:-'(convert/.*|absmax/f32|absmax/f32.g32|quantize/f32.(s8|q8_0|q4_0)|dequantize/(s8|q8_0|q4_0).f32|matmul/(a32.(f32|s8|q4_0)|a8.(s8|q4_0|s4.g128)|abf16.f32))'}
shapes=${SHAPES:-n:4096 n:65536 n:1048576 m:1,n:64,k:512 m:1,n:256,k:1024 m:1,n:4096,k:4096
  m:12,n:1024,k:1024 m:1,n:4096,k:4096,cold}
told=${TOLD:-m:1,n:32,k:128}
if [[ ${FOLDER:-} ]]; then
  folder=$FOLDER
  mkdir -p "$folder"
else
  folder=$(mktemp -d)
  trap 'rm -rf "$folder"' EXIT
fi

dispatched=$("$quantbench" --self-peer --list | awk '/peer:self .*our own/ {print $NF}' | sort -u)
filter="^$rows/(peer:self|$(tr '\n' '|' <<<"$dispatched" | sed 's/|$//'))/"
arguments=()
for shape in $shapes $told; do arguments+=(--shape "$shape"); done
kept=$(find "$folder" -name '*.json' | wc -l)
for ((i = kept + 1; i <= kept + runs; ++i)); do
  "$quantbench" --self-peer "${arguments[@]}" --benchmark_filter="$filter" --benchmark_min_time=0.0001 \
    --benchmark_repetitions=1 --benchmark_out="$folder/$i.json" >"$folder/$i.txt" ||
    { tail -5 "$folder/$i.txt"; exit 1; }
done

python3 - "$folder" "${WITHIN:-0.02}" "$told" <<'END'
import collections, glob, json, re, statistics, sys

folder, within = sys.argv[1], float(sys.argv[2])
told = tuple("/" + shape.replace(",", "/") for shape in sys.argv[3].split())
ratios, context = collections.defaultdict(list), {}
for file in sorted(glob.glob(folder + "/*.json")):
    data = json.load(open(file))
    context, rows = data["context"], [r for r in data["benchmarks"] if r["run_type"] == "iteration"]
    own = {}  # per op, format and shape the variant that the peer is
    for row in rows:
        if match := re.search("our own (\\S+)", row["label"]):
            own[row["run_name"].replace("/peer:self/", "/%s/" % match[1])] = True
    for row in rows:
        if row["run_name"] in own:
            ratios[row["run_name"]].append(row["vs_best_peer"])
print(f"{context['cpu_name']}, family/model/stepping {context['cpu_family_model_stepping']}; "
      f"{context['isa_enabled']}; caches {context['caches_measured']}; {context['compiler']}; "
      f"revision {context['git_revision'][:12]}")
print(f"our speed over that of the same kernel as a peer, median of {len(glob.glob(folder + '/*.json'))} "
      "processes [least, largest]")
outside = []
for name, values in ratios.items():
    middle, judged = statistics.median(values), not name.endswith(told)
    if judged and abs(middle - 1) > within:
        outside.append(name)
    print(f"{middle:.3f}  [{min(values):.3f}, {max(values):.3f}]  {name}{'' if judged else '  (not judged)'}")
ratios = {name: values for name, values in ratios.items() if not name.endswith(told)}
every = [abs(v - 1) for values in ratios.values() for v in values]
print(f"{len(ratios)} rows judged; the median of all ratios is "
      f"{statistics.median(v for values in ratios.values() for v in values):.4f}; "
      f"of single comparisons {sum(e <= within for e in every)} of {len(every)} within {within}")
if not ratios or outside:
    print("FAILED: further than", within, "from 1:", *outside)
    sys.exit(1)
print("proved: each row is within", within, "of 1")
END

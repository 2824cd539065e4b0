#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# make bench RESULT='a b/x.json': the name reaches every program as one word.
#   makefile_quoting.sh <Makefile>
# CMake, the benchmark and the results tools are stand-ins here that write down their arguments.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mkdir -p "$folder/bin" "$folder/build/release/bench" "$folder/.venv/bin" "$folder/results"
cp "$1" "$folder/Makefile"
cd "$folder"

for program in bin/cmake build/release/bench/quantbench .venv/bin/quantbench-validate .venv/bin/quantbench-report; do
  cat > "$program" <<'STAND_IN'
#!/bin/sh
for word; do
  echo "$(basename "$0") <$word>" >> said
  case $word in --benchmark_out=*) echo > "${word#*=}" ;; esac
done
STAND_IN
  chmod +x "$program"
done
touch results/requirements.txt results/pyproject.toml
touch .venv/installed

for result in 'a b/x.json' "it's/\"new\".json" '$(touch hole)' './-x;touch hole'; do
  : > said
  PATH="$folder/bin:$PATH" "${MAKE:-make}" -s bench SKIP_DEPS=1 RESULT="$(printf %s "$result" | sed 's/\$/$$/g')"
  for expected in "quantbench <--benchmark_out=$result>" "quantbench <--profile=quick>" \
                  "quantbench-validate <$result>" "quantbench-report <$result>" \
                  "quantbench-report <$(dirname -- "$result")/report>"; do
    if ! grep -qxF -- "$expected" said; then
      echo "RESULT=$result: no '$expected' in:" >&2
      cat said >&2
      exit 1
    fi
  done
  [ ! -e hole ] || { echo "RESULT=$result ran a command" >&2; exit 1; }
done

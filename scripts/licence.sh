#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Names every source, CMake file and script whose first line (behind a "#!" the second) does not say
# the licence; exit status 1 if there is one. --add writes the line instead.
set -eu
cd "$(dirname "$0")/.."
licence='SPDX-License-Identifier: Apache-2.0'

# Scripts without an extension are known by their "#!".
sources() {
  git ls-files --cached --others --exclude-standard -- '*.c' '*.cc' '*.h' '*.inc' '*.in' '*.cmake' \
    '*CMakeLists.txt' '*.py' '*.sh' '*.js' '*.css' Makefile '.ci/*' 'scripts/*' | sort -u |
    while read -r file; do
      case $file in
        *.*[!/] | Makefile | */Makefile) [ -f "$file" ] && echo "$file" ;;
        *) [ "$(head -c 2 -- "$file")" != '#!' ] || echo "$file" ;;
      esac
    done
}

says_it() {
  head -n 2 -- "$1" | sed '1{/^#!/d}' | head -n 1 | grep -qxE "(//|#|/\\*) $licence( \\*/)?"
}

add() {
  case $1 in
    *.css) line="/* $licence */" ;;
    *.c | *.cc | *.h | *.inc | *.h.in | *.js) line="// $licence" ;;
    *) line="# $licence" ;;
  esac
  if [ "$(head -c 2 -- "$1")" = '#!' ]; then at=1a; else at=1i; fi
  sed -i "$at\\
$line" -- "$1"
}

missing=$(sources | while read -r file; do says_it "$file" || echo "$file"; done)
[ -n "$missing" ] || exit 0
if [ "${1:-}" = --add ]; then
  echo "$missing" | while read -r file; do add "$file"; done
else
  echo "the first line does not say '$licence' (scripts/licence.sh --add) in:" >&2
  echo "$missing" | sed 's/^/  /' | head -n 20 >&2
  exit 1
fi

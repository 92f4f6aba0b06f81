#!/usr/bin/env bash
# Check one configuration of thyme.pml: run.sh -DP=3 -DW_CUT=1 … (the switches: at the top of thyme.pml).
# Needs spin and gcc. Prints whether the property holds; a counterexample is left in ./trail.txt.
# Exit code: 0 it holds, 1 it does not, 2 the states were not searched completely.
# Bounds, as variables: LIMIT seconds, MEM MiB, DEPTH steps, HASH bits; OPTIMIZE: how gcc compiles, 0 to 2.
set -euo pipefail
model=$(cd "$(dirname "$0")" && pwd)/thyme.pml
out=$PWD
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cp "$model" .
cflags=("-O${OPTIMIZE:-2}" -DCOLLAPSE "-DMEMLIM=${MEM:-6000}")
options=(-m"${DEPTH:-100000}" -w"${HASH:-24}")
if [[ " $* " == *" -DP=6 "* ]]; then
  cflags+=(-DNFAIR=4)
  options+=(-a -f)
else
  cflags+=(-DSAFETY)
  options+=(-E)
fi
spin -a "$@" thyme.pml >spin.out
gcc "${cflags[@]}" -o pan pan.c 2>gcc.out || { cat gcc.out >&2; exit 2; }
timeout -s INT "${LIMIT:-300}" ./pan "${options[@]}" >pan.out 2>&1 || true
if [ -f thyme.pml.trail ]; then
  spin -t -p -g "$@" thyme.pml >"$out/trail.txt" 2>&1 || true
  echo "VIOLATED: $(grep -m1 '^pan:1:' pan.out)"
  exit 1
fi
if grep -q 'Search not completed\|max search depth too small\|out of memory' pan.out || ! grep -q 'states, stored' pan.out; then
  echo "not searched completely: $(grep -m1 'states, stored' pan.out)"
  exit 2
fi
echo "holds: $(grep -m1 'states, stored' pan.out | sed 's/^ *//')"

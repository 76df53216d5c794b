#!/usr/bin/env bash
# Training with two threads against one while another process takes a core: tokens per second, in turns, since what else
# the machine does changes. Default: the small DRT at 4K, 3 steps, 5 pairs.
# usage: busy_cores.sh [PAIRS [CONFIG [STEPS]]]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
pairs=${1:-5} config=${2:-configs/small-drt.toml} steps=${3:-3}
work=$(mktemp -d)
trap 'kill "${spinning:-}" 2>/dev/null || true; rm -rf "$work"' EXIT
cat docs/*.md src/*/*.cpp >"$work/text.txt"
build/release/lookback prepare "$work/text.txt" --tokenizer bytes --out "$work/data" --quiet

# speed THREADS: the median of the steps' tokens per second
speed() {
  rm -rf "$work/run"
  build/release/lookback train --config "$config" --data "$work/data" --out "$work/run" --steps "$steps" \
    --threads "$1" --validate-every 0 --checkpoint-every 0 --quiet
  python3 -c 'import json, statistics, sys
print(statistics.median(json.loads(line)["tokens_per_second"] for line in open(sys.argv[1]) if "tokens_per_second" in line))
' "$work/run/metrics.jsonl"
}

(while :; do :; done) &
spinning=$!
for ((pair = 1; pair <= pairs; ++pair)); do
  one=$(speed 1)
  two=$(speed 2)
  python3 -c "print(f'pair $pair: one thread $one tokens/s, two {$two:.0f}, two over one {$two / $one:.2f}')"
done

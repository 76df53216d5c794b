#!/usr/bin/env bash
# Formats our C++ sources with the pinned clang-format; --check only names the files that need it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
clang_format=.deps/tools/clang_format/data/bin/clang-format
mapfile -d '' sources < <(find include src examples tests bench -regex '.*\.\(cpp\|h\|cu\|cuh\)' -print0)
case ${1:-} in
  "") "$clang_format" -i "${sources[@]}" ;;
  --check)
    # One line a place would drown the names.
    bad=$("$clang_format" --dry-run --Werror "${sources[@]}" 2>&1 | sed -n 's/^\([^:]*\):.*error: .*/\1/p' | sort -u) || true
    if [[ -n $bad ]]; then
      printf 'not formatted (./dev format mends it):\n%s\n' "$bad" >&2
      exit 1
    fi
    echo "format: ${#sources[@]} files are formatted"
    ;;
  *)
    echo "format: expected nothing or --check, found $1" >&2
    exit 2
    ;;
esac

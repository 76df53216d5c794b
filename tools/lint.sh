#!/usr/bin/env bash
# usage: lint.sh JOBS [PATH...]   Every check of ./dev lint, quick ones first; runs them all and fails if one did.
# PATHs: clang-tidy looks only at the files under them.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
failed=0
tools/format.sh --check || failed=1
tools/check_includes.py || failed=1
tools/check_sources.py || failed=1
tools/check_docs.py || failed=1
tools/check_mentions_test.py || failed=1
tools/check_mentions.py || failed=1
experiments/make_code_corpus_test.py || failed=1
tools/check_tidy.py build/debug "$@" || failed=1
exit "$failed"

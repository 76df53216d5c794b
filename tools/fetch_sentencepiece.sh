#!/usr/bin/env bash
# Fetches SentencePiece's C++ sources (with their protobuf-lite) from the Python package's source archive into
# DIR/sentencepiece: the distributions ship only a shared library, and our program must not need one.
# usage: fetch_sentencepiece.sh DIR
set -euo pipefail
deps=${1:?usage: fetch_sentencepiece.sh DIR}
version=0.2.0
sha256=a52c19171daaf2e697dc6cbe67684e0fa341b1248966f6aebb541de654d15843
[ -f "$deps/sentencepiece/VERSION.txt" ] && exit 0

work=$(mktemp -d "$deps/sentencepiece.XXXXXX")
trap 'rm -rf "$work"' EXIT
python3 -m pip download --quiet --no-deps --no-binary sentencepiece --dest "$work" "sentencepiece==$version"
archive="$work/sentencepiece-$version.tar.gz"
echo "$sha256  $archive" | sha256sum --check --quiet
tar -xzf "$archive" -C "$work"
mv "$work/sentencepiece-$version/sentencepiece" "$deps/sentencepiece"

#!/usr/bin/env python3
"""Source code of Python packages as JSON lines, for training on code: OUT/train.jsonl, valid.jsonl and test.jsonl.

The packages are wheels at the versions and checksums of code_packages.txt, downloaded by pip from the index that it is
set up with; nothing of them is installed or run. A line is {"text": ..., "source": PACKAGE/PATH of the first file}: files of
one package in the order of their paths, each behind a line "# file: PATH", up to --document-kb of them. A package is in one
split alone. Folders of vendored packages are left out, and so is a file of which more than half stands in a split that goes
before its own (test, validation, training), or that came in its own split already.
"""
import argparse
import hashlib
import json
import os
import pathlib
import re
import subprocess
import sys
import zipfile

HERE = pathlib.Path(__file__).resolve().parent
# Near-duplicates stay in the first of these that has them.
SPLITS = ("test", "valid", "train")
SMALLEST_FILE, LARGEST_FILE = 200, 200_000
# Lines that nobody writes by hand: tables and generated parsers.
LONGEST_LINE = 1000
VENDORED = {"_vendor", "vendor", "_vendored", "vendored", "third_party", "externals", "extern"}
# A file is a copy when this part of its runs of SHINGLE lines stands in another split.
COPIED = 0.5
SHINGLE = 5


class CorpusError(Exception):
    """Something that the person who runs the script can put right."""


def read_packages(path):
    """What code_packages.txt lists: {split: [(name, version, sha256), ...]}; a line "# split: NAME" begins a split."""
    packages, split = {name: [] for name in SPLITS}, None
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if heading := re.fullmatch(r"# split: (\w+)", line):
            split = heading[1]
            if split not in packages:
                raise CorpusError(f"{path}:{number}: no split {split!r}; there are {', '.join(SPLITS)}")
        elif line.strip() and not line.startswith("#"):
            pinned = re.fullmatch(r"([A-Za-z0-9._-]+)==(\S+) --hash=sha256:([0-9a-f]{64})", line)
            if not pinned or split is None:
                raise CorpusError(f"{path}:{number}: expected NAME==VERSION --hash=sha256:DIGEST below a line "
                                  f'"# split: NAME", found {line!r}')
            packages[split].append(pinned.groups())
    return packages


def sha256_of(path):
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def download(list_path, packages, folder):
    """The wheels of all packages, {sha256: path}; those that lie in the folder already are not asked for again."""
    folder.mkdir(parents=True, exist_ok=True)
    wheels = {sha256_of(path): path for path in sorted(folder.glob("*.whl"))}
    wanted = [package for split in SPLITS for package in packages[split]]
    for index, (name, version, digest) in enumerate(wanted, 1):
        show(f"download {index}/{len(wanted)} | {name} {version}")
        if digest in wheels:
            continue
        pinned = folder / "wanted.txt"
        pinned.write_text(f"{name}=={version} --hash=sha256:{digest}\n", encoding="utf-8")
        # "none-any" whatever Python runs this: the same file everywhere, and nothing to build.
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes",
                   "--only-binary=:all:", "--implementation=py", "--abi=none", "--platform=any",
                   "--python-version=3.13", f"--dest={folder}", f"--requirement={pinned}"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        pinned.unlink()
        if done.returncode != 0:
            raise CorpusError(f"{name} {version} of {list_path}: pip could not download it; what is there stays in "
                              f"{folder}, and the same command goes on. pip said:\n{done.stderr.strip()}")
        for path in folder.glob("*.whl"):
            if path not in wheels.values():
                wheels[sha256_of(path)] = path
        if digest not in wheels:
            raise CorpusError(f"{name} {version}: pip left no file with the checksum {digest} in {folder}")
    return wheels


def is_source(path):
    parts = pathlib.PurePosixPath(path).parts
    return path.endswith(".py") and ".." not in parts and not path.startswith("/") and not VENDORED & set(parts)


def source_files(wheel):
    """[(path, text)] in the order of the paths. Read in memory: no path of the archive ever becomes a file."""
    files = []
    try:
        with zipfile.ZipFile(wheel) as archive:
            for member in sorted(archive.infolist(), key=lambda member: member.filename):
                if not is_source(member.filename) or not SMALLEST_FILE <= member.file_size <= LARGEST_FILE:
                    continue
                try:
                    text = archive.read(member).decode("utf-8").replace("\r\n", "\n")
                except UnicodeDecodeError:
                    continue
                if max(map(len, text.split("\n"))) <= LONGEST_LINE and "\0" not in text:
                    files.append((member.filename, text))
    except zipfile.BadZipFile as error:
        raise CorpusError(f"{wheel}: {error}; remove it and run the same command again") from error
    return files


def shingles(text):
    """Hashes of every run of SHINGLE lines, blanks and empty lines aside; of all lines where there are fewer."""
    lines = [line for line in (" ".join(line.split()) for line in text.split("\n")) if line]
    runs = range(max(1, len(lines) - SHINGLE + 1))
    return {hashlib.blake2b("\n".join(lines[i:i + SHINGLE]).encode(), digest_size=8).digest() for i in runs}


def without_copies(files, seen_elsewhere, seen_here):
    """Files whose text is not largely in `seen_elsewhere` (shingles of earlier splits) and not whole in `seen_here`
    (digests of the texts of this split, to which theirs are added)."""
    kept = []
    for path, text in files:
        found = shingles(text)
        digest = hashlib.sha256(text.encode()).digest()
        if len(found & seen_elsewhere) > COPIED * len(found) or digest in seen_here:
            continue
        seen_here.add(digest)
        kept.append((path, text))
    return kept


def documents_of(files, document_bytes):
    """[(path of the first file, text)]: files in their order, as many as fit, at least one."""
    documents, parts, size = [], [], 0
    for path, text in files:
        part = f"# file: {path}\n{text}" + ("" if text.endswith("\n") else "\n")
        if parts and size + len(part.encode()) > document_bytes:
            documents.append((parts[0][0], "".join(part for _, part in parts)))
            parts, size = [], 0
        parts.append((path, part))
        size += len(part.encode())
    if parts:
        documents.append((parts[0][0], "".join(part for _, part in parts)))
    return documents


def spread(documents, most_bytes):
    """Documents of at most about `most_bytes` in all, taken at even distances, so that no part is left out whole."""
    total = sum(len(text.encode()) for _, text in documents)
    if total <= most_bytes:
        return documents
    wanted = max(1, len(documents) * most_bytes // total)
    return [documents[i * len(documents) // wanted] for i in range(wanted)]


def write_split(path, documents):
    part = path.with_name(path.name + ".part")
    with part.open("w", encoding="utf-8") as file:
        for package, first_path, text in documents:
            file.write(json.dumps({"text": text, "source": f"{package}/{first_path}"}, ensure_ascii=False) + "\n")
    os.replace(part, path)


def show(text):
    """The progress line, in place of the one before."""
    if sys.stderr.isatty():
        sys.stderr.write("\r\033[K" + text)
        sys.stderr.flush()


def make(options):
    packages = read_packages(options.packages)
    wheels = download(options.packages, packages, options.out / "wheels")
    most_bytes = {"test": options.held_out_mb, "valid": options.held_out_mb, "train": options.package_mb}
    seen = set()
    for split in SPLITS:
        split_shingles, digests, documents = set(), set(), []
        num_copies = 0
        for name, version, digest in packages[split]:
            show(f"{split} | {name} {version}")
            files = source_files(wheels[digest])
            kept = without_copies(files, seen, digests)
            num_copies += len(files) - len(kept)
            if split != SPLITS[-1]:
                split_shingles.update(*(shingles(text) for _, text in kept))
            documents += [(name, first_path, text) for first_path, text in
                          spread(documents_of(kept, options.document_kb * 1000), int(most_bytes[split] * 1e6))]
        seen |= split_shingles
        write_split(options.out / f"{split}.jsonl", documents)
        num_bytes = sum(len(text.encode()) for _, _, text in documents)
        show("")
        print(f"{options.out / split}.jsonl: {len(packages[split])} packages, {len(documents)} documents, "
              f"{num_bytes} bytes of text, {num_copies} files left out as copies")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
                                     epilog="Example:\n  experiments/make_code_corpus.py --out data/code\n"
                                     "Stopped or without network, the same command goes on with the downloads.")
    parser.add_argument("--out", type=pathlib.Path, required=True, help="folder to write; wheels stay in OUT/wheels")
    parser.add_argument("--packages", type=pathlib.Path, default=HERE / "code_packages.txt",
                        help="list of packages (default: %(default)s)")
    parser.add_argument("--document-kb", type=int, default=400, help="longest document (default: %(default)s)")
    parser.add_argument("--package-mb", type=float, default=5.0,
                        help="most text of a package for training (default: %(default)s)")
    parser.add_argument("--held-out-mb", type=float, default=1.25,
                        help="most text of a package for validation or test (default: %(default)s)")
    options = parser.parse_args()
    if min(options.document_kb, options.package_mb, options.held_out_mb) <= 0:
        parser.error("sizes are above 0")
    try:
        make(options)
    except (CorpusError, OSError) as error:
        show("")
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        show("")
        print("Interrupted; the same command goes on with the downloads.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""clang-tidy over our .cpp files. A file is looked at again only when it, one of our headers, or the checks changed.

usage: check_tidy.py BUILD_FOLDER JOBS [PATH...]   (PATHs: only the files under them)
"""
import concurrent.futures
import hashlib
import json
import pathlib
import re
import shlex
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
TIDY = ROOT / ".deps" / "tools" / "clang_tidy" / "data" / "bin" / "clang-tidy"
KEPT_FLAGS = re.compile(r"-(D|I|std=)")


def clang_flags(command):
    """What clang needs of the compiler's command: macros, include folders, language. The rest is g++'s own, its
    precompiled header above all."""
    words = shlex.split(command)
    flags = []
    for index, word in enumerate(words):
        if KEPT_FLAGS.match(word):
            flags.append(word)
        elif word == "-isystem":
            flags += [word, words[index + 1]]
    return flags


def own_headers(path, flags, seen):
    """The headers of ours that `path` includes, directly or not."""
    for name in re.findall(r'^\s*#\s*include\s+"([^"]+)"', path.read_text(), re.M):
        for folder in [path.parent] + [pathlib.Path(flag[2:]) for flag in flags if flag.startswith("-I")]:
            header = folder / name
            if header.exists() and header not in seen:
                seen.add(header)
                own_headers(header, flags, seen)
                break
    return seen


def check(path, flags, stamps):
    """(path, clang-tidy's findings or "", seconds or None when nothing had changed)"""
    content = hashlib.sha256()
    for file in [ROOT / ".clang-tidy", ROOT / "tools" / "wheels" / "lint.txt", path, *sorted(own_headers(path, flags, set()))]:
        content.update(file.read_bytes())
    content.update("\0".join(flags).encode())
    stamp = stamps / content.hexdigest()
    if stamp.exists():
        return path, "", None
    start = time.monotonic()
    result = subprocess.run([TIDY, "--quiet", path, "--", *flags], capture_output=True, text=True, cwd=ROOT)
    if result.returncode == 0:
        stamp.touch()
        return path, "", time.monotonic() - start
    return path, result.stdout or result.stderr, time.monotonic() - start


def main():
    build, jobs, only = ROOT / sys.argv[1], int(sys.argv[2]), [str(ROOT / p) for p in sys.argv[3:]]
    stamps = build / "clang-tidy"
    stamps.mkdir(parents=True, exist_ok=True)
    files = {}
    for entry in json.loads((build / "compile_commands.json").read_text()):
        path = pathlib.Path(entry["directory"], entry["file"])
        ours = any(path.is_relative_to(ROOT / folder) for folder in ("src", "tests", "bench"))
        if ours and (not only or any(str(path).startswith(prefix) for prefix in only)):
            files[path] = clang_flags(entry["command"])
    if only and not files:
        sys.exit(f"clang-tidy: no .cpp file under {' '.join(sys.argv[3:])}")
    findings, num_checked, start = 0, 0, time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        futures = [pool.submit(check, path, flags, stamps) for path, flags in sorted(files.items())]
        for future in concurrent.futures.as_completed(futures):
            path, output, seconds = future.result()
            num_checked += seconds is not None
            if output:
                findings += 1
                print(output.replace(f"{ROOT}/", ""), flush=True)
    print(f"clang-tidy: {len(files)} files, {num_checked} of them changed, {findings} with findings, "
          f"{time.monotonic() - start:.0f} s")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())

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
# What several files include is parsed once for all of them; LibTorch's headers take longer than our code.
BATCH_SIZE = 6
SOURCES = r"/(include|src|tests|bench)/[a-z_0-9/]+\.(h|cpp)$"
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


def stamp_of(path, flags, stamps):
    """The file that exists once `path`, as it and all that it depends on are now, was found to be in order."""
    content = hashlib.sha256()
    causes = [pathlib.Path(__file__), ROOT / ".clang-tidy", ROOT / "tools" / "wheels" / "lint.txt", path]
    for file in causes + sorted(own_headers(path, flags, set())):
        content.update(file.read_bytes())
    content.update("\0".join(flags).encode())
    return stamps / content.hexdigest()


def run_tidy(path, flags, *options):
    """clang-tidy's findings, or "" """
    result = subprocess.run([TIDY, "--quiet", *options, path, "--", *flags], capture_output=True, text=True, cwd=ROOT)
    return "" if result.returncode == 0 else result.stdout or result.stderr


def check(batch, flags, stamps):
    """[(path, findings or "")] of the files {path: stamp} of a batch"""
    if len(batch) > 1:
        together = stamps / f"batch_{min(batch.values()).name}.cpp"
        together.write_text("".join(f'#include "{path}"  // NOLINT\n' for path in batch))
        clean = not run_tidy(together, flags, f"--header-filter={SOURCES}")
        together.unlink()
        if clean:
            for stamp in batch.values():
                stamp.touch()
            return [(path, "") for path in batch]
    # One by one, so that each finding stands once and names that clash only in a batch do not count.
    results = []
    for path, stamp in batch.items():
        results.append((path, run_tidy(path, flags)))
        if not results[-1][1]:
            stamp.touch()
    return results


def main():
    build, jobs, only = ROOT / sys.argv[1], int(sys.argv[2]), [str(ROOT / p) for p in sys.argv[3:]]
    stamps = build / "clang-tidy"
    stamps.mkdir(parents=True, exist_ok=True)
    files, groups = 0, {}
    for entry in json.loads((build / "compile_commands.json").read_text()):
        path = pathlib.Path(entry["directory"], entry["file"])
        ours = any(path.is_relative_to(ROOT / folder) for folder in ("src", "tests", "bench"))
        if not ours or (only and not any(str(path).startswith(prefix) for prefix in only)):
            continue
        files += 1
        flags = clang_flags(entry["command"])
        stamp = stamp_of(path, flags, stamps)
        if stamp.exists():
            continue
        # Tests name their helpers alike. A file of src/ goes with those that are compiled with the same options.
        options = re.sub(r" -o .*", "", entry["command"])
        alone = not path.is_relative_to(ROOT / "src")
        groups.setdefault((path if alone else path.parent, options), (flags, {}))[1][path] = stamp
    if only and not files:
        sys.exit(f"clang-tidy: no .cpp file under {' '.join(sys.argv[3:])}")
    batches = []
    for flags, group in groups.values():
        paths = sorted(group)
        batches += [({path: group[path] for path in paths[i:i + BATCH_SIZE]}, flags)
                    for i in range(0, len(paths), BATCH_SIZE)]
    findings, start = 0, time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        futures = [pool.submit(check, batch, flags, stamps) for batch, flags in batches]
        for future in concurrent.futures.as_completed(futures):
            for _, output in future.result():
                if output:
                    findings += 1
                    print(output.replace(f"{ROOT}/", ""), flush=True)
    num_checked = sum(len(batch) for batch, _ in batches)
    print(f"clang-tidy: {files} files, {num_checked} of them changed, {findings} with findings, "
          f"{time.monotonic() - start:.0f} s")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""Include direction: a folder of src/ includes only folders that its target depends on in src/CMakeLists.txt
(directly or through others), and folders without TENSORS include no LibTorch. Public headers (include/lookback) include
each other and the standard library alone, but for torch.h, which no other of them includes."""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
LIBTORCH = re.compile(r"^(ATen|c10|torch|caffe2)/")


def read_folders():
    """{folder: (folders it may include, whether it knows tensors)} from the lookback_folder lines."""
    text = (ROOT / "src" / "CMakeLists.txt").read_text()
    folders = {}
    for name, rest in re.findall(r"^lookback_folder\((\w+)([^)]*)\)", text, re.M):
        allowed = {name}
        for dependency in re.findall(r"\blookback_(\w+)", rest):
            if dependency not in folders:
                sys.exit(f"src/CMakeLists.txt: {name} depends on {dependency}, which is not declared before it")
            allowed |= folders[dependency][0]
        folders[name] = (allowed, "TENSORS" in rest.split())
    return folders


def public_problems():
    """What the public headers include that a program would have to have."""
    problems = []
    for path in sorted((ROOT / "include" / "lookback").iterdir()):
        for number, line in enumerate(path.read_text().splitlines(), 1):
            include = re.match(r'\s*#\s*include\s+["<]([^">]+)[">]', line)
            if not include or (path.name == "torch.h" and LIBTORCH.match(include[1])):
                continue
            is_standard = re.fullmatch(r"[a-z_]+", include[1])
            is_public = include[1].startswith("lookback/") and include[1] != "lookback/torch.h"
            if not is_standard and not is_public:
                problems.append(f"{path.relative_to(ROOT)}:{number}: a public header includes {include[1]}")
    return problems


def main():
    folders = read_folders()
    problems = public_problems()
    for path in sorted((ROOT / "src").rglob("*")):
        if path.suffix not in (".h", ".cpp", ".cu", ".cuh"):
            continue
        folder = path.relative_to(ROOT / "src").parts[0]
        if folder not in folders:
            problems.append(f"{path.relative_to(ROOT)}: src/CMakeLists.txt declares no folder {folder}")
            continue
        allowed, tensors = folders[folder]
        for number, line in enumerate(path.read_text().splitlines(), 1):
            include = re.match(r'\s*#\s*include\s+["<]([^">]+)[">]', line)
            if not include:
                continue
            target, place = include[1], f"{path.relative_to(ROOT)}:{number}"
            first = target.split("/")[0]
            if '"' in line and "/" not in target:
                problems.append(f'{place}: write the folder too: "{folder}/{target}"')
            elif '"' in line and first in folders and first not in allowed:
                problems.append(f"{place}: {folder}/ must not include {first}/ (src/CMakeLists.txt has the order)")
            elif LIBTORCH.match(target) and not tensors:
                problems.append(f"{place}: {folder}/ knows no tensors, yet includes {target}")
            elif target == "torch/torch.h":
                problems.append(f"{place}: torch/torch.h takes half a minute to compile; include what is used")
    print("\n".join(problems) or f"includes: {len(folders)} folders, all in order")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())

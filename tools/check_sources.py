#!/usr/bin/env python3
"""Marks of unfinished work (an error) and files over 400 lines (a question only)."""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
FOLDERS = ("include", "src", "examples", "tests", "bench", "cmake", "tools", "docs", "configs", ".ci")
SUFFIXES = {".h", ".cpp", ".cu", ".cuh", ".py", ".sh", ".cmake", ".txt", ".md", ".toml", ""}
# In two halves, so that this file does not find itself.
MARKS = re.compile(r"\b(TO" r"DO|FIX" r"ME|XX" r"X)\b|#\s*if\s+" r"0\b")


def main():
    paths = [p for folder in FOLDERS for p in sorted((ROOT / folder).rglob("*")) if p.is_file()]
    paths += [p for p in sorted(ROOT.glob("*")) if p.is_file()]
    problems, num_files = [], 0
    for path in paths:
        name = path.relative_to(ROOT)
        if path.suffix not in SUFFIXES or name.parts[:2] == ("tests", "data") or "seeds" in name.parts:
            continue
        num_files += 1
        lines = path.read_text().splitlines()
        problems += [f"{name}:{number}: {line.strip()}" for number, line in enumerate(lines, 1) if MARKS.search(line)]
        if len(lines) > 400 and path.suffix in {".h", ".cpp", ".cu", ".py", ".sh"}:
            print(f"note: {name} has {len(lines)} lines; is it still one thing?")
    print("\n".join(problems) or f"sources: {num_files} files without marks of unfinished work")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())

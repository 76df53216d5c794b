#!/usr/bin/env python3
"""check_mentions.py finds what leads nowhere, and nothing else, in a small repository."""
import pathlib
import sys
import tempfile

sys.dont_write_bytecode = True
import check_mentions  # noqa: E402

FILES = {
    ".gitignore": "/build\n/runs\n/data\n",
    "docs/model.md": "# The model\n\n## Symbols\n\n### 1. Input\n\n```sh\n# 2. in a block, no heading\n```\n",
    "src/core/error.h": "",
    "src/data/manifest.h": "",
    "src/cli/main.cpp": "",
    "tools/lint.sh": "",
    "tests/fixtures/golden/drt/config.json": "",
    "configs/small.toml": "",
}

# A file's name, its text, and the words or sections that it mentions in vain.
CASES = [
    ("src/a.h", "// error.h, core/error.h, src/core/error.h; src/<folder>/*.h, golden/drt, ATen/ATen.h", []),
    ("src/a.h", "// gone.h, core/gone.h, core/error.cpp, <folder>/gone.h.", ["gone.h", "core/gone.h", "core/error.cpp",
                                                                         "<folder>/gone.h"]),
    ("src/a.h", "int x;  // core/gone", ["core/gone"]),
    ("src/a.h", 'const char* made_up = "core/gone.h";', []),
    ("src/a.h", "// runs/mine, data/valid, OUT/report.json, /usr/core/x.h, https://x.org/core/x.h, tokens/s", []),
    ("src/a.h", "// data/manifest.h, data/gone.h", ["data/gone.h"]),
    ("src/a.h", '// docs/model.md, 1, and docs/model.md, "Symbols"', []),
    ("src/a.h", "// docs/model.md, 1 and 2", ["2"]),
    ("src/a.h", '// (docs/model.md, "Sym\n// bols")', ['"Sym bols"']),
    ("src/a.h", '// (docs/model.md, "The\n// model")', []),
    ("src/a.h", "// docs/tasks.md, 3", ["docs/tasks.md"]),
    ("src/cli/a.cpp", 'help("  --model golden/drt\\n" "  --config configs/small.toml");', ["golden/drt"]),
    ("src/cli/a.cpp", 'help("--model tests/fixtures/golden/drt --data data/books --out runs/mine book.txt");', []),
    ("src/cli/a.cpp", '#include "core/gone.h"', []),
    ("docs/a.md", "[a](gone.md) `core/error.h` `run.toml`", ["run.toml"]),
    ("docs/a.md", "`small.toml`\n```sh\ntrain --config small.toml\n```\n", ["small.toml"]),
    ("tools/a.sh", 'tools/gone.sh "$deps/tools/x.sh"', ["tools/gone.sh"]),
    ("tests/a.py", '"""docs/gone.md"""\nx = "core/gone.h"  # core/gone.h', ["docs/gone.md", "core/gone.h"]),
    ("cmake/a.cmake", 'set(x "core/gone.h")  # core/gone.h', ["core/gone.h"]),
]


def main():
    wrong = []
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        for name, text in FILES.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)
        repository = check_mentions.Repository(root)
        for name, text, expected in CASES:
            problems = check_mentions.problems_of(pathlib.PurePath(name), text, repository)
            found = [p.split(" has no section ")[-1] if " section " in p else p.split(": ")[1] for p in problems]
            if found != expected:
                wrong.append(f"{text!r}: expected {expected}, found {problems}")
    print("\n".join(wrong) or f"mentions: {len(CASES)} cases as they should be")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

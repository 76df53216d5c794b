#!/usr/bin/env python3
"""What comments, help texts and pages say is in the repository is there.

Read are comments, the strings of src/cli (the help texts are among them), shell scripts and pages. A word of these is a
mention of something in the repository when it
- ends as a source or a page does (error.h, tools/setup.sh, small-drt.toml), or
- is a path that begins with the name of a folder (tests/fixtures/golden, kernels/cuda).
It must then be the end of a path that exists: error.h, core/error.h and src/core/error.h all name src/core/error.h; *
and <name> stand for anything. In a command, that is in a string of src/cli and in a page's ```sh, it must be the whole
path: commands are given in the repository's folder. Where it says docs/model.md, 3 or docs/model.md, "Symbols", the page
must have a heading "3. ..." or "Symbols".

Users' files are no mentions: what lies in a folder that .gitignore names (runs/mine, data/valid), whatever has a part
in capitals (OUT/report.json), and absolute paths. Nor are the names of ELSEWHERE.
"""
import io
import pathlib
import re
import sys
import tokenize

ROOT = pathlib.Path(__file__).resolve().parent.parent
CPP = {".h", ".cpp", ".cu", ".cuh"}
NAMED_BY_SUFFIX = CPP | {".cc", ".hpp", ".py", ".sh", ".cmake", ".md", ".toml"}
READ = CPP | {".py", ".sh", ".md", ".cmake", ".toml", ".txt", ""}
# Written by the program into users' folders, and other projects' files.
ELSEWHERE = {"config.toml", "report.md", "ATen/ATen.h", "torch/torch.h", "torch/include/ATen/ATen.h",
             "nlohmann/json.hpp", "TorchConfig.cmake"}
# The past may name what is gone.
NOT_READ = {"CHANGELOG.md"}

WORD = re.compile(r"(?<![\w/.$}~-])(?:\.{1,2}/)*([\w<*][\w.<>*-]*(?:/[\w.<>*-]+)*)")
SECTION = re.compile(r'(docs/[\w-]+\.md),\s+(?:"([^"]+)"|(\d+(?:(?:,|\s+and|\s+to)\s+\d+)*)\b)')


class Repository:
    """Every path, folders included, of the files below `root` that are not a user's."""

    def __init__(self, root):
        self.root = root
        ignored = (root / ".gitignore").read_text().splitlines()
        self.users_folders = {line.strip("/") for line in ignored}
        self.files = [path for path in self._walk(root) if path.is_file()]
        self.folders, self.endings = set(), set()
        for path in self.files:
            parts = path.relative_to(root).parts
            self.folders |= set(parts[:-1])
            for end in range(1, len(parts) + 1):
                self.endings |= {"/".join(parts[begin:end]) for begin in range(end)}

    def _walk(self, folder):
        for path in sorted(folder.iterdir()):
            if path.name == ".git" or (folder == self.root and path.name in self.users_folders):
                continue
            yield from self._walk(path) if path.is_dir() and not path.is_symlink() else [path]

    def has(self, word, whole=False):
        """Whether a path ends with `word`; whole: whether it is one."""
        if whole:
            return any(self.root.glob(re.sub("<[^>]*>", "*", word)))
        if not re.search(r"[<*]", word):
            return word in self.endings
        pattern = re.compile("".join("[^/]*" if part[0] in "<*" else re.escape(part)
                                     for part in re.findall(r"<[^>]*>|\*|[^<*]+|<", word)))
        return any(pattern.fullmatch(path) for path in self.endings)

    def headings(self, page):
        text = re.sub(r"^```.*?^```", "", (self.root / page).read_text(), flags=re.M | re.S)
        return re.findall(r"^#+\s+(.+?)\s*$", text, re.M)


def python_prose(text):
    """Comments and texts in three quotes, each where it was."""
    lines = [""] * (text.count("\n") + 2)
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT or (token.type == tokenize.STRING and token.string.endswith('"""')):
            for number, line in enumerate(token.string.splitlines(), token.start[0] - 1):
                lines[number] += line + " "
    return lines


def cpp_prose(line):
    """A line's comment, and its strings."""
    line = line.replace(r"\n", "  ")
    comment = re.search(r"(?:^|\s)//+(.*)", line)
    code = line[: comment.start()] if comment else line
    strings = [] if code.lstrip().startswith("#") else re.findall(r'"((?:[^"\\]|\\.)*)"', code)
    return comment[1] if comment else "", " ".join(strings)


def page_prose(lines):
    """Lines outside of ```sh, and those in it; links are check_docs.py's."""
    text, commands, fence = [], [], None
    for line in lines:
        if line.startswith("```"):
            fence = line[3:] if fence is None else None
        is_command = fence == "sh"
        text.append("" if is_command else re.sub(r"\]\([^)]*\)", "]", line))
        commands.append(line if is_command else "")
    return text, commands


def prose(name, text):
    """Of each line of a file, what is read as text and what is read as a command."""
    lines = text.splitlines()
    if name.suffix in CPP:
        comments, strings = zip(*map(cpp_prose, lines)) if lines else ((), ())
        return comments, strings if name.parts[:2] == ("src", "cli") else ()
    if name.suffix == ".md":
        return page_prose(lines)
    if name.suffix == ".py":
        return python_prose(text), ()
    if name.suffix == ".sh" or name.parts in {("dev",), (".ci", "run")}:
        return lines, ()
    if name.suffix in {".cmake", ".toml"} or name.name == "CMakeLists.txt":
        return [line[line.find("#"):] if "#" in line else "" for line in lines], ()
    return (), ()


def dangles(word, repository, is_command):
    """Whether a word mentions something of the repository that is not there."""
    first, *rest = word.split("/")
    suffix = pathlib.PurePath(word).suffix
    if not (suffix in NAMED_BY_SUFFIX or (rest and first in repository.folders)) or word in ELSEWHERE:
        return False
    is_users = (first in repository.users_folders and suffix not in CPP) or re.search(r"(^|/)[A-Z]+\b", word)
    return not repository.has(word, whole=is_command) and not is_users


def problems_of(name, text, repository):
    """What the file `name` mentions in vain."""
    problems = []
    told, commands = prose(name, text)
    for lines, is_command in ((told, False), (commands, True)):
        for number, line in enumerate(lines, 1):
            for word in WORD.findall(re.sub(r"[a-z]+://\S+", "", line)):
                word = word.rstrip(".-/")
                if dangles(word, repository, is_command):
                    problems.append(f"{name}:{number}: {word}: the repository has nothing of that name")
    # A title may go over the end of a line.
    text = "\n".join(told)
    for cited in SECTION.finditer(text):
        page, title, numbers = cited[1], cited[2], cited[3]
        if not repository.has(page):
            continue  # said above
        headings = repository.headings(page)
        missing = [] if title is None or " ".join(title.split()) in headings else [f'"{" ".join(title.split())}"']
        missing += [n for n in re.findall(r"\d+", numbers or "") if not any(h.startswith(f"{n}. ") for h in headings)]
        place = f"{name}:{text.count(chr(10), 0, cited.start()) + 1}"
        problems += [f"{place}: {page} has no section {section}" for section in missing]
    return problems


def main():
    repository = Repository(ROOT)
    problems, num_files = [], 0
    for path in repository.files:
        name = path.relative_to(ROOT)
        if str(name) in NOT_READ or {"fixtures", "seeds"} & set(name.parts):
            continue
        if name.suffix in READ:
            num_files += 1
            problems += problems_of(name, path.read_text(), repository)
    print("\n".join(problems) or f"mentions: {num_files} files mention nothing that is not there")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())

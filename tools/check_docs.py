#!/usr/bin/env python3
"""Relative links and images in every .md file lead to something, anchors included."""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
SKIPPED = {".git", ".deps", "build", "runs", "data"}


def anchors(text):
    """GitHub's names of the headings."""
    names = set()
    for heading in re.findall(r"^#+\s+(.+?)\s*$", text, re.M):
        name = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        names.add(name)
    return names


def without_code(text):
    return re.sub(r"`[^`\n]*`", "", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S))


def main():
    pages = [p for p in sorted(ROOT.rglob("*.md")) if not SKIPPED & set(p.relative_to(ROOT).parts)]
    problems, num_links = [], 0
    for page in pages:
        text = without_code(page.read_text())
        for link in re.findall(r"\]\(([^)\s]+)[^)]*\)", text) + re.findall(r'<img[^>]*src="([^"]+)"', text):
            if re.match(r"[a-z]+:", link):
                continue
            num_links += 1
            file, _, anchor = link.partition("#")
            target = (page.parent / file).resolve() if file else page
            if not target.exists():
                problems.append(f"{page.relative_to(ROOT)}: {link} does not exist")
            elif anchor and target.suffix == ".md" and anchor not in anchors(target.read_text()):
                problems.append(f"{page.relative_to(ROOT)}: {link}: no such heading")
    print("\n".join(problems) or f"docs: {len(pages)} pages, {num_links} links, all lead somewhere")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""make_code_corpus.py: its list, what it takes from an archive, copies, documents, whole runs over made-up wheels."""
import hashlib
import io
import json
import pathlib
import sys
import tempfile
import unittest
import zipfile
from contextlib import redirect_stdout

sys.dont_write_bytecode = True
import make_code_corpus as corpus  # noqa: E402


def code(name, num_lines=40):
    return "".join(f"{name}_{i} = {i}\n" for i in range(num_lines))


class MakeCodeCorpus(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def wheel(self, name, files):
        path = self.folder / f"{name}.whl"
        with zipfile.ZipFile(path, "w") as archive:
            for member, data in files.items():
                archive.writestr(member, data)
        return path

    def test_reads_the_list_by_splits(self):
        path = self.folder / "list.txt"
        digest = "0" * 64
        path.write_text(f"# words\n# split: train\na==1 --hash=sha256:{digest}\n\n# split: test\nb-c==2.0 "
                        f"--hash=sha256:{digest}\n")
        self.assertEqual(corpus.read_packages(path), {"train": [("a", "1", digest)], "valid": [],
                                                      "test": [("b-c", "2.0", digest)]})
        for text, message in [("# split: train\na==1\n", ":2: expected"), (f"a==1 --hash=sha256:{digest}\n", ":1: expect"),
                              ("# split: tset\n", "no split 'tset'")]:
            path.write_text(text)
            with self.assertRaisesRegex(corpus.CorpusError, message):
                corpus.read_packages(path)

    def test_takes_only_source_text_in_the_order_of_the_paths(self):
        wheel = self.wheel("a", {
            "a/b.py": code("b"), "a/a.py": code("a").replace("\n", "\r\n"), "../out.py": code("c"), "/etc/d.py": code("d"),
            "a/_vendor/e.py": code("e"), "a/small.py": "x = 1\n", "a/large.py": code("f", 20_000), "a/text.txt": code("g"),
            "a/latin.py": b"x = '\xe9'\n" * 100, "a/table.py": "x = [" + "1, " * 500 + "]\n", "a/null.py": "x\0\n" * 200})
        self.assertEqual(corpus.source_files(wheel), [("a/a.py", code("a")), ("a/b.py", code("b"))])
        self.assertEqual(sorted(path.name for path in self.folder.rglob("*")), ["a.whl"])

    def test_a_damaged_archive_is_named(self):
        path = self.folder / "a.whl"
        path.write_bytes(b"no archive")
        with self.assertRaisesRegex(corpus.CorpusError, "a.whl"):
            corpus.source_files(path)

    def test_leaves_out_copies(self):
        original = code("a")
        elsewhere = corpus.shingles(original)
        half_new = "".join(code("a").splitlines(True)[:20]) + code("b", 30)
        mostly_old = original + code("b", 10)
        files = [("a.py", original.replace(" = ", "  =   ")), ("b.py", mostly_old), ("c.py", half_new),
                 ("d.py", half_new), ("e.py", code("e", 3))]
        self.assertEqual([path for path, _ in corpus.without_copies(files, elsewhere, set())], ["c.py", "e.py"])

    def test_documents_are_files_in_order_up_to_a_size(self):
        files = [("p/a.py", "a" * 90), ("p/b.py", "b" * 90 + "\n"), ("p/c.py", "c" * 500 + "\n"), ("p/d.py", "d\n")]
        documents = corpus.documents_of(files, 220)
        self.assertEqual([path for path, _ in documents], ["p/a.py", "p/c.py", "p/d.py"])
        self.assertEqual(documents[0][1], "# file: p/a.py\n" + "a" * 90 + "\n# file: p/b.py\n" + "b" * 90 + "\n")
        self.assertEqual(corpus.documents_of([], 220), [])

    def test_takes_documents_of_a_large_package_at_even_distances(self):
        documents = [(str(i), "x" * 10) for i in range(10)]
        self.assertEqual([path for path, _ in corpus.spread(documents, 50)], ["0", "2", "4", "6", "8"])
        self.assertEqual(corpus.spread(documents, 100), documents)
        self.assertEqual(corpus.spread(documents, 1), documents[:1])

    def test_a_whole_run_needs_no_network_once_the_wheels_are_there(self):
        (self.folder / "wheels").mkdir()
        lines = []
        for split, name, files in [("train", "t", {"t/a.py": code("a"), "t/copy.py": code("z")}),
                                   ("valid", "v", {"v/b.py": code("b")}), ("test", "z", {"z/z.py": code("z")})]:
            wheel = self.wheel(f"wheels/{name}", files)
            lines += [f"# split: {split}", f"{name}==1 --hash=sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}"]
        listed = self.folder / "list.txt"
        listed.write_text("\n".join(lines) + "\n")
        sys.argv = ["make_code_corpus.py", "--out", str(self.folder), "--packages", str(listed)]
        with redirect_stdout(io.StringIO()) as shown:
            self.assertEqual(corpus.main(), 0)
        self.assertIn("train.jsonl: 1 packages, 1 documents", shown.getvalue())
        self.assertIn("1 files left out as copies", shown.getvalue())
        for split, source, text in [("train", "t/t/a.py", code("a")), ("valid", "v/v/b.py", code("b")),
                                    ("test", "z/z/z.py", code("z"))]:
            document = json.loads((self.folder / f"{split}.jsonl").read_text())
            path = source.split("/", 1)[1]
            self.assertEqual(document, {"text": f"# file: {path}\n{text}", "source": source})


if __name__ == "__main__":
    unittest.main()

#!/usr/bin/env python3
"""A large text with needles in it, and questions about them: what docs/memory.md measures memories with.

  tools/needle_library.py make DIR --tokens 16000000 --needles 25
  tools/needle_library.py ask DIR --program build/release/lookback --model RUN --memory NAME.memory

`make` writes DIR/library.txt (the demo's sentences and needles, a needle in a chunk of 31 bytes of its own) and
DIR/questions.jsonl; `ask` puts each question to `lookback generate --memory`, each in a process of its own.
"""
import argparse
import json
import math
import pathlib
import random
import re
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
CHUNK = 31  # tokens of a chunk of the demo's model, whose tokens are bytes


def word_list(name):
    """A list of words of the demo's texts, where they are written down."""
    source = (ROOT / "src" / "data" / "needle_sequence.cpp").read_text()
    block = re.search(name + r"\{(.*?)\}", source, re.S).group(1)
    return re.findall(r'"([a-z]+)"', block)


def make_sentences(num_bytes, rng):
    words = word_list("words")
    weights = [1 / (rank + 8) for rank in range(len(words))]
    parts, size = [], 0
    while size < num_bytes:
        for count in (rng.randint(5, 12) for _ in range(1000)):
            sentence = " ".join(rng.choices(words, weights, k=count)).capitalize() + ". "
            parts.append(sentence)
            size += len(sentence)
    return bytearray("".join(parts)[:num_bytes].encode())


def make(args):
    rng = random.Random(args.seed)
    num_chunks = args.tokens // CHUNK
    text = make_sentences(num_chunks * CHUNK, rng)
    keys = rng.sample(word_list("keys"), args.needles)
    questions = []
    # One in each of as many equal parts: all depths are asked for.
    for i, key in enumerate(keys):
        chunk = rng.randrange(i * num_chunks // args.needles, (i + 1) * num_chunks // args.needles)
        value = f"{rng.randrange(100000):05d}"
        needle = f"|key {key} is {value}|".encode()
        begin = chunk * CHUNK + rng.randrange(CHUNK - len(needle) + 1)
        text[begin:begin + len(needle)] = needle
        # The question ends a chunk; the blank behind it begins the next, in which what was found is at work.
        question = f"|What is key {key}? It is"
        before = make_sentences(4 * CHUNK - len(question), rng).decode()
        questions.append({"prompt": before + question + " ", "answer": value, "depth": chunk / num_chunks})
    args.folder.mkdir(parents=True, exist_ok=True)
    (args.folder / "library.txt").write_bytes(text)
    (args.folder / "questions.jsonl").write_text("".join(json.dumps(q) + "\n" for q in questions))
    print(f"{args.folder}: {len(text):,} tokens, {len(questions)} needles")


def wilson(right, count):
    z, p = 1.96, right / count
    middle = (p + z * z / (2 * count)) / (1 + z * z / count)
    half = z * math.sqrt(p * (1 - p) / count + z * z / (4 * count * count)) / (1 + z * z / count)
    return max(0.0, middle - half), min(1.0, middle + half)


def ask(args):
    questions = [json.loads(line) for line in (args.folder / "questions.jsonl").read_text().splitlines()]
    right, wall, first_token = 0, [], []
    for question in questions:
        command = [args.program, "generate", "--model", args.model, "--prompt", question["prompt"], "--greedy",
                   "--max-new-tokens", "5", "--json", "--quiet", "--threads", str(args.threads)]
        for memory in args.memory:
            command += ["--memory", memory]
        start = time.monotonic()
        answer = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        wall.append(time.monotonic() - start)
        first_token.append(answer["prefill_seconds"])
        right += answer["text"] == question["answer"]
    low, high = wilson(right, len(questions))
    print(json.dumps({"memory": args.memory, "right": right, "asked": len(questions),
                      "interval": [round(low, 3), round(high, 3)],
                      "median_process_seconds": round(sorted(wall)[len(wall) // 2], 3),
                      "median_seconds_to_first_token": round(sorted(first_token)[len(first_token) // 2], 4)}))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser("make")
    command.add_argument("folder", type=pathlib.Path)
    command.add_argument("--tokens", type=int, default=16_000_000)
    command.add_argument("--needles", type=int, default=25)
    command.add_argument("--seed", type=int, default=0)
    command.set_defaults(run=make)
    command = commands.add_parser("ask")
    command.add_argument("folder", type=pathlib.Path)
    command.add_argument("--program", default="build/release/lookback")
    command.add_argument("--model", required=True)
    command.add_argument("--memory", required=True, action="append")
    command.add_argument("--threads", type=int, default=2)
    command.set_defaults(run=ask)
    args = parser.parse_args()
    args.run(args)


if __name__ == "__main__":
    main()

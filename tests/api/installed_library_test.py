"""The library as others get it: installed, moved elsewhere, found by CMake, and used by the programs of examples/, which
must do what the program `lookback` does.

usage: installed_library_test.py BUILD_FOLDER TORCH_ROOT COMPILER
"""
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

SOURCE = pathlib.Path(__file__).resolve().parents[2]
# What no public header may bring in; LibTorch only lookback/torch.h.
HIDDEN = re.compile(r"/(ATen|c10|torch|nlohmann|CLI|fmt|toml\+\+)/")
RUN_CONFIG = """
[model]
hidden_size = 16
intermediate_size = 32
num_attention_heads = 2
enc_chunk_size = 8
chunk_topk = 2
slide_window = 16
encoder_layers = 1
decoder_layers = [1, 1]

[train]
steps = 3
batch_size = 2
context_length = 64
lr = 1e-2
threads = 1
"""


def run(*command, **options):
    """What the command prints; its messages, too, where it fails."""
    result = subprocess.run([str(word) for word in command], capture_output=True, text=True, **options)
    if result.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}\n{result.stdout}{result.stderr}exit code {result.returncode}")
    return result.stdout


def check(condition, message):
    if not condition:
        sys.exit(f"FAILED: {message}")


def install_and_move(build, folder):
    run("cmake", "--install", build, "--prefix", folder / "first")
    shutil.move(folder / "first", folder / "moved")
    return folder / "moved"


def check_headers(installed, torch, compiler):
    """Each compiles by itself, with the standard library alone."""
    headers = sorted((installed / "include" / "lookback").glob("*.h"))
    check({header.name for header in headers} == {path.name for path in (SOURCE / "include" / "lookback").iterdir()},
          f"installed are {headers}")
    for header in headers:
        flags = ["-std=c++20", "-x", "c++", "-I", installed / "include"]
        if header.name == "torch.h":
            flags += ["-isystem", torch / "torch" / "include"]
        source = f"#include <lookback/{header.name}>\n#include <lookback/{header.name}>\n"
        run(compiler, *flags, "-fsyntax-only", "-Wall", "-Wextra", "-Werror", "-", input=source)
        included = run(compiler, *flags, "-M", "-", input=source)
        check(header.name == "torch.h" or not HIDDEN.search(included), f"{header.name} includes {included}")


def check_symbols(installed, compiler):
    """The name that programs are bound to, and that nothing is seen but the library's own."""
    library = (installed / "lib" / "liblookback.so").resolve()
    soname = re.search(r"SONAME.*\[(.*)\]", run("readelf", "-d", library))[1]
    version = re.search(r'version = "(\d+\.\d+)\.\d+"', (SOURCE / "include/lookback/version.h").read_text())[1]
    check(soname == f"liblookback.so.{version}", f"soname {soname}")
    symbols = [line.split(maxsplit=2)[2] for line in run("nm", "-DC", "--defined-only", library).splitlines()]
    own = re.compile(r"(typeinfo (name )?for |vtable for )?lookback::")
    foreign = [symbol for symbol in symbols if not own.match(symbol)]
    check(not foreign, f"exported: {foreign[:20]}")
    names = {re.match(r"[\w:~=]+", symbol)[0] for symbol in symbols}
    check({"lookback::LanguageModel::LanguageModel", "lookback::Session::ask"} <= names, f"exported: {names}")
    marked = "\n".join(path.read_text() for path in (installed / "include" / "lookback").glob("*.h")
                       if path.name != "export.h")
    functions = set(re.findall(r"LOOKBACK_API [^;({]*?(~?\w+|operator=)\(", marked))
    missing = functions - {name.split("::")[-1].split("[")[0] for name in names}
    check(functions and not missing, f"marked, but not exported: {missing}")
    unmarked = [name for name in names if name.split("::")[-1] not in marked]
    check(not unmarked, f"exported, but in no public header: {unmarked}")


def build_examples(installed, folder):
    run("cmake", "-S", SOURCE / "examples", "-B", folder / "examples", f"-DCMAKE_PREFIX_PATH={installed}")
    run("cmake", "--build", folder / "examples")
    return folder / "examples"


def make_model(program, folder):
    """A run folder, the prepared data that it was trained on, and a memory."""
    text = folder / "text.txt"
    text.write_text("".join(f"The number of house {i} is {i * 7919 % 1000}. " for i in range(200)))
    (folder / "run.toml").write_text(RUN_CONFIG)
    run(program, "prepare", text, "--tokenizer", "bytes", "--out", folder / "prepared", "--quiet")
    run(program, "train", "--config", folder / "run.toml", "--data", folder / "prepared", "--out", folder / "run",
        "--quiet")
    run(program, "memory", "build", "--model", folder / "run", text, "--out", folder / "text.memory", "--quiet")


def check_ask(program, examples, folder):
    """The example's answer and sources are those of `lookback generate`."""
    question = "The number of house 17 is"
    asked = run(examples / "ask", folder / "run", folder / "text.memory", question, encoding="utf-8").split("\n")
    generated = json.loads(run(program, "generate", "--model", folder / "run", "--memory", folder / "text.memory",
                               "--prompt", question, "--greedy", "--explain", "--json"))
    sources = [source for chunk in generated["explain"] for source in chunk["retrieved"]]
    check(any(source["memory"] for source in sources), "nothing was retrieved from the memory")
    check("\n".join(asked).startswith(generated["text"] + "\n"), f"{asked} is not {generated['text']!r}")
    told = [line.split("\t") for line in "\n".join(asked)[len(generated["text"]) + 1:].splitlines()]
    check(len(told) == len(sources), f"{len(told)} sources, not {len(sources)}")
    for (weight, document, text_begin), source in zip(told, sources):
        check(abs(float(weight) - source["weight"]) < 1e-5, f"weight {weight}, not {source['weight']}")
        check(document == source.get("document", "") and int(text_begin) == source.get("text_begin", 0),
              f"{document} at {text_begin}, not {source}")
    wrong = subprocess.run([examples / "ask", folder / "nowhere", "", ""], capture_output=True, text=True)
    check(wrong.returncode == 1 and "nowhere" in wrong.stderr, f"no Error came out: {wrong}")


def check_train(examples, folder):
    """The example's run is that of `lookback train`, bit by bit, and it was told of every step."""
    told = run(examples / "train", folder / "run.toml", folder / "prepared", folder / "again").splitlines()
    for name in ("model.safetensors", "optimizer.safetensors", "trainer.json"):
        theirs, ours = ((folder / place / "last" / name).read_bytes() for place in ("run", "again"))
        check(theirs == ours, f"last/{name} differs")
    recorded = [json.loads(line) for line in (folder / "run" / "metrics.jsonl").read_text().splitlines()]
    check(told[:-1] == [f"step {step['step']}: loss {step['loss']:.9g}" for step in recorded], f"{told}")
    check(told[-1].startswith(f"{len(recorded)} steps, {recorded[-1]['tokens']} tokens"), f"{told[-1]}")


def check_subdirectory(folder, torch):
    """A project that adds this folder gets the target, and keeps its own warnings, tests and flags."""
    project = folder / "project"
    project.mkdir()
    (project / "main.cpp").write_text("#include <lookback/lookback.h>\nint main() {}\n")
    (project / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.25)\nproject(uses_lookback LANGUAGES CXX)\n"
        "set(CMAKE_EXPORT_COMPILE_COMMANDS ON)\n"
        f'add_subdirectory("{SOURCE}" lookback EXCLUDE_FROM_ALL)\n'
        "add_executable(main main.cpp)\ntarget_link_libraries(main PRIVATE lookback::lookback)\n")
    run("cmake", "-S", project, "-B", project / "build", "-G", "Ninja", f"-DTORCH_WHEEL_ROOT={torch}",
        "-DCMAKE_BUILD_TYPE=Release", "-DCMAKE_CXX_FLAGS_RELEASE=-O1")
    commands = json.loads((project / "build" / "compile_commands.json").read_text())
    theirs = next(entry for entry in commands if entry["file"].endswith("project/main.cpp"))
    check(f"{SOURCE}/include" in theirs["command"], f"no include folder: {theirs['command']}")
    run("sh", "-c", theirs["command"], cwd=theirs["directory"])
    for entry in commands:
        check("/tests/" not in entry["file"], f"builds {entry['file']}")
        check("-Werror" not in entry["command"] and "-O1" in entry["command"], f"not their flags: {entry['command']}")


def main():
    build, torch, compiler = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), sys.argv[3]
    os.environ.pop("LD_LIBRARY_PATH", None)
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        installed = install_and_move(build, folder)
        check_headers(installed, torch, compiler)
        check_symbols(installed, compiler)
        program = installed / "bin" / "lookback"
        make_model(program, folder)
        examples = build_examples(installed, folder)
        check_ask(program, examples, folder)
        check_train(examples, folder)
        check_subdirectory(folder, torch)
    print("the installed library does what it should")


if __name__ == "__main__":
    main()

// What `prepare` reads and writes.
#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include "data/document_reader.h"
#include "data/json_lines.h"
#include "data/prepare.h"
#include "data/prepare_journal.h"
#include "data/summary_pairs.h"
#include "data/token_dataset.h"
#include "fuzz/fuzz_input.h"
#include "fuzz/fuzz_targets.h"
#include "text/tokenizer.h"

namespace lookback {
namespace {

const Tokenizer& bytes_tokenizer() {
  static const auto tokenizer = load_tokenizer("bytes");
  return *tokenizer;
}

}  // namespace

// The first byte chooses the kind of file, the rest is its content.
void fuzz_documents(std::string_view input) {
  static const FuzzFolder folder;
  constexpr std::array names = {"a.txt", "a.jsonl", "a.txt.zst", "a.jsonl.zst", "a.txt.gz", "a.jsonl.gz"};
  if (input.empty()) return;
  const auto* const name = names[static_cast<unsigned char>(input.front()) % names.size()];
  const auto path = folder.write(name, input.substr(1));
  allow_errors([&path] {
    const InputFiles inputs = find_input_files({path});
    // A few bytes can stand for gigabytes; more of them show nothing new.
    constexpr std::int64_t most_bytes = std::int64_t{4} << 20;
    std::int64_t read_bytes = 0;
    DocumentReader reader(inputs.files, {}, bytes_tokenizer(), {});
    while (read_bytes <= most_bytes) {
      const auto block = reader.next();
      if (!block) break;
      read_bytes += static_cast<std::int64_t>(block->text.size());
    }
  });
}

void fuzz_json_lines(std::string_view input) {
  static const FuzzFolder folder;
  const auto path = folder.write("pairs.jsonl", input);
  allow_errors([&path] { read_json_lines(path, [](const Json&, const std::string&) {}); });
  allow_errors([&path] { read_summary_pairs(path); });
}

// Parts: manifest.json, documents.bin, tokens-00000.bin.
void fuzz_dataset(std::string_view input) {
  static const FuzzFolder folder;
  const auto parts = split_parts(input, 3);
  folder.write(manifest_name, parts[0]);
  folder.write(documents_name, parts[1]);
  folder.write(shard_name(0).c_str(), parts[2]);
  allow_errors([] {
    const TokenDataset dataset(folder.path());
    allow_errors([&dataset] { dataset.verify(); });
    for (std::int64_t i = 0; i < std::min<std::int64_t>(dataset.num_documents(), 100); ++i) {
      allow_errors([&dataset, i] { dataset.document(i); });
    }
    std::vector<std::int64_t> ids(64);
    for (std::int64_t begin = 0; begin < std::min<std::int64_t>(dataset.num_tokens(), 1000); begin += 17) {
      allow_errors([&] { dataset.read(begin, ids); });
    }
  });
}

// The journal of a run that was stopped; the run goes on with it, whatever it says of how far it was.
void fuzz_prepare_journal(std::string_view input) {
  static const FuzzFolder inputs;
  static const FuzzFolder out;
  static const auto text = inputs.write("text.txt", "Some text, which is long enough to be cut in pieces.\n");
  static const Json identity = [] {
    const PrepareConfig config{.inputs = {text}, .out = out.path() / "whole", .num_threads = 1};
    prepare(config, bytes_tokenizer(), {});
    return read_journal(config.out)->identity;
  }();
  const auto folder = out.path() / "resumed";
  std::filesystem::remove_all(folder);
  std::filesystem::create_directory(folder);
  out.write("resumed/prepare.json", input);
  allow_errors([&folder] {
    auto journal = read_journal(folder);
    if (!journal) return;
    journal->identity = identity;
    write_journal(folder, *journal);
    prepare({.inputs = {text}, .out = folder, .num_threads = 1}, bytes_tokenizer(), {});
  });
}

}  // namespace lookback

#include "cli/corpora_flags.h"

#include <fmt/core.h>

#include <algorithm>
#include <charconv>
#include <utility>

#include "core/counted.h"
#include "core/error.h"
#include "core/parse_list.h"
#include "core/standard_streams.h"
#include "core/units.h"

namespace lookback {
namespace {

// {"code=a", "b", "books=c"} -> code: a, b; books: c. What has a '/' or '.' before its '=' is a path.
std::vector<Corpus> parse_corpora(const std::vector<std::string>& arguments) {
  std::vector<Corpus> corpora;
  for (const std::string& argument : arguments) {
    const std::size_t equals = argument.find_first_of("=/.");
    if (equals != std::string::npos && argument[equals] == '=') {
      const std::string name = argument.substr(0, equals);
      const auto same = std::ranges::find(corpora, name, &Corpus::name);
      require(same == corpora.end(), "--corpus {}: is given twice; give all of its paths behind one {}=", name, name);
      corpora.push_back({name, {argument.substr(equals + 1)}, {}});
    } else {
      require(!corpora.empty(), "--corpus {}: expected NAME=PATH, further paths of the corpus behind it", argument);
      corpora.back().inputs.emplace_back(argument);
    }
    require(!corpora.back().inputs.back().empty(), "--corpus {}: expected a path behind the =", argument);
  }
  return corpora;
}

void parse_weights(const std::string& text, std::vector<Corpus>& corpora) {
  for (const std::string& part : split_list(text)) {
    const std::size_t equals = part.find('=');
    double weight = 0.0;
    const char* const end = part.data() + part.size();
    const char* const begin = equals == std::string::npos ? end : part.data() + equals + 1;
    const auto [rest, error] = std::from_chars(begin, end, weight);
    require(error == std::errc() && rest == end, "--weights {}: expected NAME=NUMBER with commas between, found \"{}\"",
            text, part);
    const auto corpus = std::ranges::find(corpora, part.substr(0, equals), &Corpus::name);
    require(corpus != corpora.end(), "--weights {}: there is no corpus {}", text, part.substr(0, equals));
    require(!corpus->weight, "--weights {}: {} has two weights", text, corpus->name);
    corpus->weight = weight;
  }
}

}  // namespace

void add_corpora_flags(CLI::App& command, CorporaFlags& flags) {
  command.add_option("--corpus", flags.corpora,
                     "NAME=PATH, further paths behind it: a corpus of its own, in place of the inputs; repeatable. The "
                     "documents of all corpora are mixed in a random order");
  command.add_option("--weights", flags.weights,
                     "NAME=NUMBER,...: the corpora's parts of the training tokens, reached by taking whole documents "
                     "repeatedly or not at all (default: every document once)");
  command.add_option("--mix-tokens", flags.mix_tokens,
                     "Training tokens in all, such as 100M (default: as few as hold every document)");
  command.add_option("--seed", flags.seed, "Decides the order of mixed documents, and which are taken")
      ->capture_default_str();
}

void read_corpora_flags(const CorporaFlags& flags, CorporaConfig& config) {
  config.corpora = parse_corpora(flags.corpora);
  if (!flags.weights.empty()) parse_weights(flags.weights, config.corpora);
  if (!flags.mix_tokens.empty()) config.mixed_tokens = parse_size(flags.mix_tokens, "--mix-tokens");
  config.seed = flags.seed;
}

Json mixture_json(const DatasetMixture& mixture) {
  Json corpora = Json::array();
  for (const MixtureEntry& entry : mixture.corpora) {
    corpora.push_back({{"name", entry.name},
                       {"weight", entry.weight},
                       {"num_documents", entry.num_documents},
                       {"num_tokens", entry.num_tokens},
                       {"mixed_documents", entry.mixed_documents},
                       {"mixed_tokens", entry.mixed_tokens}});
  }
  return corpora;
}

void print_mixture(const DatasetMixture& mixture) {
  std::int64_t total = 0;
  for (const MixtureEntry& entry : mixture.corpora) total += entry.mixed_tokens;
  for (const MixtureEntry& entry : mixture.corpora) {
    print_output("  {}: {} of the tokens ({}, {}); {:.2f} times its {} tokens\n", entry.name,
                 percent_text(static_cast<double>(entry.mixed_tokens) / static_cast<double>(total)),
                 counted(entry.mixed_documents, "document"), counted(entry.mixed_tokens, "token"),
                 static_cast<double>(entry.mixed_tokens) / static_cast<double>(entry.num_tokens), entry.num_tokens);
  }
}

}  // namespace lookback

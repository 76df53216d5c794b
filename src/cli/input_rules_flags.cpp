#include "cli/input_rules_flags.h"

#include <algorithm>
#include <cctype>
#include <vector>

#include "core/error.h"
#include "core/parse_list.h"

namespace lookback {
namespace {

// "py,.H" -> {".py", ".h"}
std::vector<std::string> parse_extensions(const std::string& text) {
  std::vector<std::string> extensions;
  for (std::string extension : split_list(text)) {
    if (extension.starts_with('.')) extension.erase(0, 1);
    require(!extension.empty() && extension.find_first_of("./") == std::string::npos,
            "--text-extensions {}: expected endings of names, separated by commas, like py,h,cpp", text);
    std::ranges::transform(extension, extension.begin(), [](unsigned char c) { return std::tolower(c); });
    extensions.push_back("." + extension);
  }
  return extensions;
}

}  // namespace

void add_input_rules(CLI::App& command, InputRulesFlags& flags) {
  command.add_option("--text-extensions", flags.text_extensions,
                     "Further endings of the names of text files, separated by commas (py,h,cpp)");
  command.add_flag("--group-by-folder", flags.group_by_folder,
                   "Each folder right below a given one is one document: its text files in the order of their paths, "
                   "each behind a line \"# file: PATH\"");
}

InputRules read_input_rules(const InputRulesFlags& flags) {
  InputRules rules;
  if (!flags.text_extensions.empty()) rules.text_extensions = parse_extensions(flags.text_extensions);
  rules.group_by_folder = flags.group_by_folder;
  return rules;
}

}  // namespace lookback

#include "text/gpt2_fixture.h"

#include "text/fixture_files.h"

namespace lookback {

const std::string& gpt2_tokenizer_json() {
  static const std::string content = gunzip_fixture("gpt2-tokenizer.json.gz");
  return content;
}

}  // namespace lookback

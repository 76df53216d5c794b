// Sessions that go on.
#include <ATen/ATen.h>

#include <string>

#include "fuzz/fuzz_input.h"
#include "fuzz/fuzz_models.h"
#include "fuzz/fuzz_targets.h"
#include "generate/generator.h"
#include "generate/session_file.h"
#include "models/drt/drt_config.h"
#include "nn/record_file.h"

namespace lookback {

std::unique_ptr<Model> make_fuzz_model() {
  ModelConfig config;
  config.hidden_size = 8;
  config.intermediate_size = 8;
  config.num_heads = 2;
  config.num_kv_heads = 2;
  config.vocab_size = 258;
  config.landmark_id = 257;
  config.chunk_size = 8;
  config.top_k = 2;
  config.window_size = 5;
  auto& drt = config.own<DrtConfig>();
  drt.num_encoder_layers = 1;
  drt.decoder_layers = {1, 1};
  return make_model(config, at::kCPU, 1);
}

// A safetensors file whose tensor "record" holds the fields of a session; the checksum over it, which nothing that is
// changed at random would get past, is put right first. What is accepted reads on.
void fuzz_session(std::string_view input) {
  static const FuzzFolder folder;
  static const std::unique_ptr<Model> model = [] {
    auto made = make_fuzz_model();
    made->parameters().freeze(at::kFloat);
    return made;
  }();
  const auto raw = folder.write("raw.session", input);
  const auto path = folder.path() / "talk.session";
  allow_errors([&raw] { load_session(raw); });
  allow_errors([&] {
    Record record{{}, read_safetensors(raw)};
    const at::Tensor bytes = take_tensor(record, "record", "the input");
    if (bytes.scalar_type() != at::kByte) return;
    const Json json = parse_json(
        {static_cast<const char*>(bytes.const_data_ptr()), static_cast<std::size_t>(bytes.numel())}, "the input");
    record.fields = json_field<Json>(json, "fields", "the input");
    write_record_file(path, {"session", 1, "begin a new session"}, record);
    SavedSession saved = load_session(path);
    saved.memories.clear();
    TextSession text = resume_session(saved, path.string(), *model, at::kFloat, saved.owner, {});
    GenerateConfig config;
    config.stop.max_new_tokens = 1;
    generate(*model, nullptr, text, {1, 2, 3}, config);
  });
}

}  // namespace lookback

#include "models/model_folder.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>
#include <set>

#include "core/error.h"
#include "core/files.h"
#include "core/json.h"
#include "models/fingerprint.h"
#include "models/small_models.h"
#include "nn/safetensors.h"

namespace lookback {
namespace {

namespace fs = std::filesystem;

const fs::path fixtures = LOOKBACK_SOURCE_DIR "/tests/fixtures";

// Of this process: tests run side by side.
fs::path scratch(const std::string& name) {
  const fs::path folder = fs::path(testing::TempDir()) / (name + "_" + std::to_string(::getpid()));
  fs::remove_all(folder);
  fs::create_directories(folder);
  return folder;
}

std::string error_of_loading(const fs::path& folder) {
  try {
    load_model(folder, at::kCPU);
  } catch (const Error& error) {
    return error.what();
  }
  return "none";
}

class SavedModel : public testing::TestWithParam<ModelConfig> {};

TEST_P(SavedModel, GivesTheSameNumbers) {
  const auto model = make_model(GetParam(), at::kCPU, 3);
  const fs::path folder = scratch("saved");
  save_model(*model, folder);
  const auto loaded = load_model(folder, at::kCPU);
  const at::Tensor ids = random_ids(2, 30, 39, 1);
  EXPECT_TRUE(at::equal(model->hidden_states(ids, {}), loaded->hidden_states(ids, {})));
}

INSTANTIATE_TEST_SUITE_P(Positions, SavedModel, testing::ValuesIn(small_configs_of_all_positions()));
INSTANTIATE_TEST_SUITE_P(Kinds, SavedModel, testing::ValuesIn(small_configs_of_all_kinds()), kind_name);

TEST(PublishedCheckpoint, LoadsLikeItsSafetensors) {
  const auto published = load_model(fixtures / "published", at::kCPU);
  const auto safetensors = load_model(fixtures / "golden/drt-grouped-query", at::kCPU);
  for (const auto& [name, tensor] : safetensors->parameters().named()) {
    EXPECT_TRUE(at::equal(tensor, published->parameters().get(name))) << name;
  }
}

TEST(PublishedCheckpoint, OtherPicklesAreRefused) {
  const fs::path folder = scratch("module");
  fs::copy(fixtures / "published/config.json", folder);
  fs::copy(fixtures / "published/module.bin", folder / "model.bin");
  EXPECT_NE(error_of_loading(folder).find("model.bin: "), std::string::npos);

  // Every truncation is an error, never a crash.
  const std::string whole = read_file(fixtures / "published/model.bin");
  for (std::size_t size = 0; size < whole.size(); size += whole.size() / 23) {
    write_file_atomic(folder / "model.bin", whole.substr(0, size));
    EXPECT_NE(error_of_loading(folder), "none") << size;
  }
}

TEST(ModelFolder, ListsEveryTensorThatDoesNotFit) {
  const fs::path folder = scratch("misfit");
  fs::copy(fixtures / "published/config.json", folder);
  NamedTensors tensors = read_safetensors(fixtures / "golden/drt-grouped-query/model.safetensors");
  for (auto& [name, tensor] : tensors) {
    if (name == "model.norm.weight") name = "model.nrom.weight";
    if (name == "model.chunk_k_proj.weight") tensor = tensor.narrow(0, 0, 5).clone();
  }
  tensors.emplace_back("lm_head.weight", at::zeros({60, 32}));
  write_safetensors(folder / "model.safetensors", tensors);
  const std::string message = error_of_loading(folder);
  EXPECT_NE(message.find("model.nrom.weight: unknown to this model"), std::string::npos) << message;
  EXPECT_NE(message.find("model.norm.weight: missing"), std::string::npos) << message;
  EXPECT_NE(message.find("model.chunk_k_proj.weight: expected [32, 32], found [5, 32]"), std::string::npos) << message;
  EXPECT_NE(message.find("lm_head.weight: differs from model.embed_tokens.weight"), std::string::npos) << message;
}

// A folder with the weights of drt-grouped-query in two parts.
class WeightParts : public testing::Test {
 protected:
  void SetUp() override {
    fs::copy(fixtures / "published/config.json", folder_);
    const NamedTensors whole = read_safetensors(fixtures / "golden/drt-grouped-query/model.safetensors");
    for (std::size_t i = 0; i < whole.size(); ++i) {
      first_.push_back(whole[i]);
      map_[whole[i].first] = "a.safetensors";
      if (i % 2 == 0) continue;
      second_.push_back(whole[i]);
      first_.pop_back();
      map_[whole[i].first] = "b.safetensors";
    }
    write();
  }
  void write() const {
    write_safetensors(folder_ / "a.safetensors", first_);
    write_safetensors(folder_ / "b.safetensors", second_);
    write_json_file(folder_ / "model.safetensors.index.json",
                    {{"metadata", {{"total_size", 1}}}, {"weight_map", map_}});
  }
  void expect_error(const std::string& part) const {
    const std::string message = error_of_loading(folder_);
    EXPECT_NE(message.find(part), std::string::npos) << message;
    EXPECT_NE(message.find("model.safetensors.index.json"), std::string::npos) << message;
  }

  const fs::path folder_ = scratch("parts");
  NamedTensors first_, second_;
  Json map_ = Json::object();
};

TEST_F(WeightParts, LoadLikeTheWhole) {
  const auto whole = load_model(fixtures / "golden/drt-grouped-query", at::kCPU);
  const auto parts = load_model(folder_, at::kCPU);
  for (const auto& [name, tensor] : whole->parameters().named()) {
    EXPECT_TRUE(at::equal(tensor, parts->parameters().get(name))) << name;
  }
  // Pickled ones by the same index.
  fs::remove(folder_ / "model.safetensors.index.json");
  fs::copy(fixtures / "published/model.bin", folder_ / "pytorch_model-00001-of-00001.bin");
  for (auto& [name, part] : map_.items()) part = "pytorch_model-00001-of-00001.bin";
  write_json_file(folder_ / "pytorch_model.bin.index.json", {{"weight_map", map_}});
  EXPECT_EQ(error_of_loading(folder_), "none");
}

TEST_F(WeightParts, WhatIsWrongIsNamed) {
  const std::string name = second_[0].first;
  first_.push_back(second_[0]);
  write();
  expect_error("tensor \"" + name + "\" is in two parts, a.safetensors and b.safetensors");
  second_.erase(second_.begin());
  write();
  expect_error("\"" + name + "\" is not in b.safetensors, where it should be, but in a.safetensors");
  first_.pop_back();
  write();
  expect_error("\"" + name + "\" is not in b.safetensors, where it should be");
  for (const char* outside : {"../a.safetensors", "/etc/passwd", "..", "", "sub/a.safetensors"}) {
    map_[name] = outside;
    write();
    expect_error("is no name of a file in the same folder");
  }
  map_[name] = "c.safetensors";
  write();
  expect_error("its part c.safetensors is not there");
  map_[name] = 3;
  write();
  expect_error("expected the name of a file, found 3");
  map_ = Json::array();
  write();
  expect_error("weight_map");
  fs::resize_file(folder_ / "model.safetensors.index.json", 9);
  expect_error("not valid JSON");
}

TEST(ModelFolder, SaysWhatIsMissing) {
  const fs::path folder = scratch("empty");
  EXPECT_NE(error_of_loading(folder).find("holds no config.json"), std::string::npos);
  EXPECT_NE(error_of_loading(folder / "nowhere").find("there is no such folder"), std::string::npos);
  fs::copy(fixtures / "published/config.json", folder);
  EXPECT_NE(error_of_loading(folder).find("holds neither model.safetensors nor model.bin"), std::string::npos);
}

TEST(ModelConfigFile, UnsupportedSettingsAreNamed) {
  const Json good = to_json(small_drt_config());
  const auto error_with = [&](const std::string& key, const Json& value) -> std::string {
    Json changed = good;
    changed[key] = value;
    try {
      parse_model_config(changed, "config.json");
    } catch (const Error& error) {
      return error.what();
    }
    return "none";
  };
  EXPECT_EQ(error_with("hidden_size", 32), "none");
  EXPECT_EQ(error_with("hidden_act", "gelu"), "config.json: hidden_act = \"gelu\" is not supported; only \"silu\" is");
  EXPECT_EQ(error_with("tie_word_embeddings", false),
            "config.json: tie_word_embeddings = false is not supported; only true is");
  EXPECT_EQ(error_with("num_attention_heads", 5), "config.json: num_attention_heads 5 must divide hidden_size 32");
  EXPECT_EQ(error_with("chunk_id", 40), "config.json: chunk_id 40 is not in the vocabulary of 40");
  EXPECT_EQ(error_with("enc_chunk_size", 7), "config.json: enc_chunk_size must be at least 8, found 7");
  EXPECT_NE(error_with("chunk_topk", "many").find("field \"chunk_topk\""), std::string::npos);
  EXPECT_EQ(to_json(parse_model_config(good, "")), good);
}

ModelConfig with_positions(ModelConfig config, WindowPositions positions) {
  config.window_positions = positions;
  return config;
}

std::string error_of_parsing(const Json& value) {
  try {
    parse_model_config(value, "config.json");
  } catch (const Error& error) {
    return error.what();
  }
  return "none";
}

// Files and fingerprints from before there was a choice are those of ALiBi.
TEST(WindowPositionsKey, IsWrittenOnlyWhereItIsNotAlibi) {
  const Json alibi = to_json(small_sliding_window_config());
  EXPECT_FALSE(alibi.contains("window_positions"));
  EXPECT_FALSE(alibi.contains("rope_theta"));
  EXPECT_EQ(alibi.at("enable_alibi"), true);
  EXPECT_EQ(parse_model_config(alibi, "").window_positions, WindowPositions::alibi);
  for (ModelConfig config : {small_sliding_window_config(), small_drt_config()}) {
    config.rope_theta = 500;
    const Json rope = to_json(with_positions(config, WindowPositions::rope));
    EXPECT_EQ(rope.at("window_positions"), "rope");
    EXPECT_EQ(rope.at("enable_alibi"), false);
    EXPECT_EQ(rope.at("rope_theta"), 500);
    EXPECT_EQ(to_json(parse_model_config(rope, "")), rope);
    const Json none = to_json(with_positions(config, WindowPositions::none));
    EXPECT_EQ(none.at("window_positions"), "none");
    EXPECT_EQ(to_json(parse_model_config(none, "")), none);
  }
}

TEST(WindowPositionsKey, ContradictionsAndOtherNamesAreRefused) {
  const auto error_with = [](Json value, const std::vector<std::pair<const char*, Json>>& changes) {
    for (const auto& [key, changed] : changes) value[key] = changed;
    return error_of_parsing(value);
  };
  const Json good = to_json(small_sliding_window_config());
  EXPECT_EQ(error_with(good, {{"window_positions", "rope"}}),
            "config.json: enable_alibi = true contradicts window_positions = \"rope\"; leave one of the two out");
  EXPECT_EQ(error_with(good, {{"enable_alibi", false}}),
            "config.json: enable_alibi = false: name what there is in ALiBi's place, window_positions = \"rope\" or "
            "\"none\"");
  EXPECT_EQ(error_with(good, {{"window_positions", "learned"}}),
            "config.json: window_positions \"learned\": there are alibi, rope and none");
  EXPECT_EQ(error_with(good, {{"window_positions", "alibi"}}), "none");
  Json rope = to_json(with_positions(small_sliding_window_config(), WindowPositions::rope));
  EXPECT_EQ(error_with(rope, {{"rope_theta", 0.0}}), "config.json: rope_theta must be positive, found 0");
  EXPECT_EQ(error_with(rope, {{"hidden_size", 36}}),
            "config.json: the head dimension 9 must be even for rotary positions");
  Json landmark = to_json(small_config("landmark"));
  EXPECT_EQ(
      error_with(landmark, {{"enable_alibi", false}, {"window_positions", "none"}}),
      "config.json: window_positions = \"none\" is for windows, and no layer of a landmark model has one; leave it "
      "out");
}

TEST(WindowPositionsKey, ModelsThatDifferInNothingElseHaveOtherFingerprints) {
  std::set<std::string> fingerprints;
  for (const auto positions : {WindowPositions::alibi, WindowPositions::rope, WindowPositions::none}) {
    const auto model = make_model(with_positions(small_sliding_window_config(), positions), at::kCPU, 3);
    fingerprints.insert(model_fingerprint(*model));
  }
  EXPECT_EQ(fingerprints.size(), 3U);
}

TEST(ModelConfigFile, SizesThatNoModelHasAreRefused) {
  const Json good = to_json(small_drt_config());
  for (const char* key : {"hidden_size", "intermediate_size", "num_attention_heads", "num_key_value_heads",
                          "vocab_size", "slide_window", "enc_chunk_size", "chunk_topk", "encoder_layers", "chunk_id"}) {
    for (const Json& value : std::vector<Json>{-1, std::int64_t{1} << 40, 0x1p63, 1e300, 18446744073709551615U, 1.5}) {
      Json changed = good;
      changed[key] = value;
      EXPECT_THROW(parse_model_config(changed, "config.json"), Error) << key << " " << value;
    }
    if (key == std::string("slide_window") || key == std::string("chunk_id")) continue;
    Json changed = good;
    changed[key] = 0;
    EXPECT_THROW(parse_model_config(changed, "config.json"), Error) << key;
  }
  Json many_layers = good;
  many_layers["decoder_layers"] = {1, 3000, 3000};
  EXPECT_THROW(parse_model_config(many_layers, "config.json"), Error);
}

// 2^62 numbers of parameters beside a small file: refused by what the file holds.
TEST(ModelFolder, ALargeConfigurationBesideSmallWeightsTakesNoMemory) {
  const fs::path folder = scratch("large-config");
  const auto model = make_model(small_drt_config(), at::kCPU, 3);
  save_model(*model, folder);
  Json config = to_json(small_drt_config());
  for (const char* key : {"hidden_size", "intermediate_size", "vocab_size"}) {
    Json changed = config;
    changed[key] = 1 << 30;
    write_json_file(folder / "config.json", changed);
    EXPECT_NE(error_of_loading(folder).find("one of the two is of another model"), std::string::npos) << key;
  }
}

TEST(ModelRegistry, NamesTheKnownKinds) {
  ModelConfig config = small_drt_config();
  config.kind = "transformer-xl";
  try {
    make_model(config, at::kCPU, 0);
    FAIL();
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(),
                 "there is no model named \"transformer-xl\"; there are: block-recurrent, "
                 "compressed-memory, drt, landmark, memorizing, rpt, sliding-window");
  }
}

}  // namespace
}  // namespace lookback

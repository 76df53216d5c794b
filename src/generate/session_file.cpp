#include "generate/session_file.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "core/error.h"
#include "core/json.h"
#include "core/stored_text.h"
#include "models/fingerprint.h"
#include "nn/record_file.h"

namespace lookback {
namespace {

constexpr RecordKind session_kind{"session", 1, "begin a new session"};
constexpr std::string_view state_prefix = "state.";

// The names of a sequence's tensors in files, which were made for several sequences: behind "state.", those of the
// first are "sequence.0.<name>", what all share has names of its own, and "num_sequences" says that there is one.
constexpr std::string_view sequence_prefix = "sequence.0.";
constexpr std::string_view count_name = "num_sequences";
constexpr std::string_view shared_name = "archives";

std::string name_in_file(const std::string& name) {
  return std::string(state_prefix) + (name == shared_name ? "" : std::string(sequence_prefix)) + name;
}

}  // namespace

void save_session(const std::filesystem::path& path, const TextSession& text, const SessionOwner& owner,
                  const std::vector<std::string>& memory_paths) {
  NamedTensors tensors;
  tensors.emplace_back("ids", at::tensor(text.ids, at::kLong));
  if (text.hidden.defined()) tensors.emplace_back("hidden", text.hidden);
  tensors.emplace_back(std::string(state_prefix) + std::string(count_name), at::scalar_tensor(1, at::kLong));
  for (const auto& [name, tensor] : text.sequence->state()) tensors.emplace_back(name_in_file(name), tensor);
  Json memories = Json::array();
  for (std::size_t i = 0; text.memories && i < text.memories->memories().size(); ++i) {
    const ChunkArchive& archive = *text.memories->memories()[i].archive;
    const std::int64_t num_chunks = archive.num_chunks();
    memories.push_back({{"path", stored_text(memory_paths.at(i))},
                        {"num_chunks", num_chunks},
                        {"landmarks_checksum", landmarks_fingerprint(archive, num_chunks)}});
  }
  const Json fields = {{"model_fingerprint", owner.model_fingerprint},
                       {"tokenizer_fingerprint", owner.tokenizer_fingerprint},
                       {"memories", memories}};
  write_record_file(path, session_kind, {fields, tensors});
}

SavedSession load_session(const std::filesystem::path& path) {
  const std::string source = path.string();
  Record record = read_record_file(path, session_kind);
  SavedSession saved;
  saved.owner = {json_field<std::string>(record.fields, "model_fingerprint", source),
                 json_field<std::string>(record.fields, "tokenizer_fingerprint", source)};
  for (const Json& memory : json_field<Json>(record.fields, "memories", source)) {
    saved.memories.push_back({bytes_of_stored_text(json_field<std::string>(memory, "path", source)),
                              json_field<std::int64_t>(memory, "num_chunks", source),
                              json_field<std::string>(memory, "landmarks_checksum", source)});
  }
  const at::Tensor ids = take_tensor(record, "ids", source);
  require(ids.scalar_type() == at::kLong && ids.dim() == 1, "{}: its text is no list of ids: the file is damaged",
          source);
  saved.ids.assign(ids.const_data_ptr<std::int64_t>(), ids.const_data_ptr<std::int64_t>() + ids.numel());
  for (auto& [name, tensor] : record.tensors) {
    if (name == "hidden") {
      saved.hidden = std::move(tensor);
      continue;
    }
    require(name.starts_with(state_prefix), "{}: its tensor \"{}\" is none of a session: the file is damaged", source,
            name);
    std::string own = name.substr(state_prefix.size());
    if (own == count_name) {
      require(tensor.numel() == 1 && tensor.item<std::int64_t>() == 1,
              "{}: holds other than one text: the file is damaged", source);
      continue;
    }
    require(own == shared_name || own.starts_with(sequence_prefix),
            "{}: its tensor \"{}\" is none of a session: the file is damaged", source, name);
    if (own != shared_name) own.erase(0, sequence_prefix.size());
    saved.state.emplace_back(std::move(own), std::move(tensor));
  }
  return saved;
}

TextSession resume_session(const SavedSession& saved, const std::string& source, const Model& model,
                           at::ScalarType dtype, const SessionOwner& owner,
                           const std::shared_ptr<const MemorySet>& memory_set) {
  const std::vector<SearchedArchive> memories = memory_set ? memory_set->memories() : std::vector<SearchedArchive>();
  require(saved.owner.model_fingerprint == owner.model_fingerprint,
          "{}: belongs to the weights of another model ({}, this one is {}): begin a new session", source,
          saved.owner.model_fingerprint, owner.model_fingerprint);
  require(saved.owner.tokenizer_fingerprint == owner.tokenizer_fingerprint,
          "{}: belongs to another tokenizer than the model folder's: begin a new session", source);
  require(saved.memories.size() == memories.size(), "{}: retrieves from {} memories, {} were opened", source,
          saved.memories.size(), memories.size());
  for (std::size_t i = 0; i < memories.size(); ++i) {
    const SessionMemory& memory = saved.memories[i];
    require(memory.num_chunks >= 0 && memory.num_chunks <= memories[i].archive->num_chunks() &&
                memory.landmarks_checksum == landmarks_fingerprint(*memories[i].archive, memory.num_chunks),
            "{}: documents were removed from {} since the session was saved, or it was built anew: begin a new session",
            source, memory.path);
  }
  TextSession text = new_text_session(model, dtype, memory_set);
  try {
    text.sequence->restore(saved.state);
  } catch (const Error& error) {
    fail("{}: {}", source, error.what());
  }
  text.ids = saved.ids;
  const std::int64_t num_read = text.sequence->num_tokens();
  const auto num_ids = static_cast<std::int64_t>(saved.ids.size());
  require(num_read <= num_ids && (num_ids > 0 && num_read == num_ids) == saved.hidden.defined(),
          "{}: its text and its state do not belong together: the file is damaged", source);
  if (saved.hidden.defined()) {
    require(saved.hidden.sizes() == at::IntArrayRef({1, 1, model.config().hidden_size}),
            "{}: its hidden states are not the model's: the file is damaged", source);
    text.hidden = saved.hidden.to(model.parameters().device());
  }
  return text;
}

}  // namespace lookback

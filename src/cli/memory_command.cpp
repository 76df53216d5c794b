#include "cli/memory_command.h"

#include "cli/commands.h"
#include "cli/exit_codes.h"
#include "cli/inference_flags.h"
#include "cli/left_out_lines.h"
#include "cli/program_path.h"
#include "core/counted.h"
#include "core/error.h"
#include "core/interrupt.h"
#include "core/json.h"
#include "core/progress.h"
#include "core/standard_streams.h"
#include "lookback/build_memory.h"
#include "memory/memory_writer.h"
#include "memory/merge_memories.h"
#include "memory/stored_memory.h"

namespace lookback {
namespace {

struct BuildFlags {
  InferenceFlags inference;
  std::vector<std::string> inputs;
  std::string out;
  BuildMemoryConfig config;
  bool json = false, quiet = false;
};

struct FileFlags {
  std::string path;
  std::vector<std::string> documents;
  bool json = false;
};

std::string progress_text(const BuildMemoryProgress& progress, double seconds) {
  const auto done = static_cast<double>(progress.disk_bytes);
  const auto total = static_cast<double>(std::max<std::int64_t>(progress.disk_bytes_total, 1));
  // A reading that goes on passes over what is known in no time.
  const auto known = static_cast<double>(progress.disk_bytes_known);
  return fmt::format("memory {:.0f}% | ETA {} | {} | {} tok/s | {}", 100 * done / total,
                     eta_text(done - known, total - known, seconds),
                     counted(format_count(static_cast<double>(progress.num_tokens)), "token"),
                     format_count(static_cast<double>(progress.num_tokens) / std::max(seconds, 1e-9)),
                     counted(format_count(static_cast<double>(progress.num_documents)), "document"));
}

Json to_json(const BuildMemoryResult& result, const std::string& out) {
  return {{"memory", out},
          {"interrupted", result.interrupted},
          {"num_documents", result.num_documents},
          {"num_known", result.num_known},
          {"num_skipped", result.num_skipped},
          {"num_tokens", result.num_tokens},
          {"seconds", result.seconds},
          {"tokens_per_second", result.seconds > 0 ? static_cast<double>(result.num_tokens) / result.seconds : 0.0}};
}

int run_build(BuildFlags& flags) {
  const StopToken stop = catch_interrupts();
  const LanguageModel model = open_model(flags.inference);
  flags.config.num_threads = flags.inference.options.threads;
  flags.config.inputs.assign(flags.inputs.begin(), flags.inputs.end());
  flags.config.out = flags.out;
  ProgressLine line(flags.quiet || flags.json);
  LeftOutLines left_out(line, "further ones are only counted");
  BuildMemoryListener listener;
  listener.stop = stop;
  listener.on_progress = [&](const BuildMemoryProgress& progress) {
    if (line.due()) line.show(progress_text(progress, line.elapsed_seconds()));
  };
  listener.on_skipped = [&](const std::string& reason) { left_out.show(reason); };
  const BuildMemoryResult result = build_memory(model, flags.config, listener);
  line.finish();
  if (flags.json) print_output("{}\n", dump_line(to_json(result, flags.out)));
  if (result.interrupted) {
    print_message("Interrupted; what was read is kept in {}. The same command goes on from there.\n", flags.out);
    return exit_interrupted;
  }
  if (flags.json) return 0;
  if (result.num_documents > 0) {
    print_output("{}: {} added, {} in {} ({} tokens/s)\n", flags.out, counted(result.num_documents, "document"),
                 counted(format_count(static_cast<double>(result.num_tokens)), "token"),
                 format_duration(result.seconds),
                 format_count(static_cast<double>(result.num_tokens) / std::max(result.seconds, 1e-9)));
  }
  if (result.num_known > 0) print_output("{}: {} there already\n", flags.out, counted(result.num_known, "document"));
  if (result.num_skipped > 0) print_output("{} left out as broken or empty\n", counted(result.num_skipped, "document"));
  print_output("ask it:\n  {} generate --model {} --memory {} --prompt \"...\"\n", program_path(),
               flags.inference.model, flags.out);
  return 0;
}

void run_info(const FileFlags& flags) {
  const StoredMemory memory(flags.path);
  const std::uintmax_t file_bytes = std::filesystem::file_size(flags.path);
  std::int64_t num_tokens = 0;
  for (const MemoryDocument& document : memory.documents()) num_tokens += document.num_tokens;
  if (flags.json) {
    Json documents = Json::array();
    for (const MemoryDocument& document : memory.documents()) {
      Json entry = to_json(document);
      entry["id"] = document.id;
      documents.push_back(entry);
    }
    print_output("{}\n", dump_line({{"memory", flags.path},
                                    {"format", to_json(memory.format())},
                                    {"num_chunks", memory.num_chunks()},
                                    {"num_tokens", num_tokens},
                                    {"file_bytes", file_bytes},
                                    {"documents", documents}}));
    return;
  }
  print_output("{}: {}, {} in {}, {} ({:.0f} bytes a token), {}\n", flags.path,
               counted(memory.documents().size(), "document"),
               counted(format_count(static_cast<double>(num_tokens)), "token"), counted(memory.num_chunks(), "chunk"),
               format_bytes(static_cast<double>(file_bytes)),
               static_cast<double>(file_bytes) / static_cast<double>(std::max<std::int64_t>(num_tokens, 1)),
               memory_elements_name(memory.format().elements));
  for (const MemoryDocument& document : memory.documents()) {
    print_output("  {:>6}  {:>8} tokens  {}{}\n", document.id, format_count(static_cast<double>(document.num_tokens)),
                 document.name, document.finished ? "" : "  (unfinished: `memory build` goes on)");
  }
}

void run_verify(const FileFlags& flags) {
  const StoredMemory memory(flags.path);
  memory.verify();
  print_output("{}: {} of {}, all as they were written\n", flags.path, counted(memory.num_chunks(), "chunk"),
               counted(memory.documents().size(), "document"));
}

void run_remove(const FileFlags& flags) {
  MemoryWriter writer(flags.path, StoredMemory(flags.path).format());
  const std::vector<MemoryDocument> documents = writer.documents();
  for (const std::string& name : flags.documents) {
    const auto found = std::ranges::find_if(documents, [&name](const MemoryDocument& document) {
      return document.name == name || std::to_string(document.id) == name;
    });
    require(found != documents.end(), "{}: holds no document \"{}\"; `memory info` lists them", flags.path, name);
    writer.remove_document(found->id);
  }
  writer.commit();
  print_output("{}: {} removed, {} left\n", flags.path, counted(flags.documents.size(), "document"),
               writer.documents().size());
}

struct MergeFlags {
  std::vector<std::string> sources;
  std::string out;
  bool quiet = false;
};

int run_merge(const MergeFlags& flags) {
  const StopToken stop = catch_interrupts();
  ProgressLine line(flags.quiet);
  const MergeResult result = merge_memories(
      {flags.sources.begin(), flags.sources.end()}, flags.out,
      [&](std::int64_t done, std::int64_t total) {
        if (line.due()) {
          line.show(
              fmt::format("merge {} of {} chunks | ETA {}", format_count(static_cast<double>(done)),
                          format_count(static_cast<double>(total)),
                          eta_text(static_cast<double>(done), static_cast<double>(total), line.elapsed_seconds())));
        }
      },
      stop);
  line.finish();
  if (result.interrupted) {
    print_message("Interrupted; what was copied is kept in {}. The same command goes on from there.\n", flags.out);
    return exit_interrupted;
  }
  print_output("{}: {} copied, {} there already\n", flags.out, counted(result.num_documents, "document"),
               result.num_known);
  return 0;
}

void add_merge(CLI::App& memory) {
  const auto flags = std::make_shared<MergeFlags>();
  CLI::App* command = memory.add_subcommand("merge", "Put the documents of several memories into one");
  command->add_option("memories", flags->sources, "Memories of one model, tokenizer and element type")
      ->required()
      ->type_name("NAME.memory");
  command->add_option("--out", flags->out, "The file to make, or to add to")->required()->type_name("NAME.memory");
  command->add_flag("--quiet", flags->quiet, "No progress line");
  command->footer("Examples:\n  lookback memory merge books.memory letters.memory --out library.memory");
  command->callback([flags] {
    const int code = run_merge(*flags);
    if (code != 0) throw CLI::RuntimeError(code);
  });
}

// What reading texts takes, into a new memory or one that is there.
void add_reading_flags(CLI::App& command, BuildFlags& flags) {
  command
      .add_option("inputs", flags.inputs,
                  "Files .txt, .md (a document each), .jsonl (a document a line), each also .zst or .gz; folders, "
                  "recursively")
      ->required();
  add_inference_flags(command, flags.inference);
  command.add_option("--field", flags.config.field, "Field of a JSON line that holds the text")->capture_default_str();
  command.add_flag("--strict", flags.config.strict, "Stop at the first broken document instead of leaving it out");
  command.add_option("--segment-tokens", flags.config.segment_tokens, "Tokens that one thread reads in one step")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command.add_flag("--json", flags.json, "Print the result as one line of JSON");
  command.add_flag("--quiet", flags.quiet, "No progress line");
}

void add_add(CLI::App& memory) {
  const auto flags = std::make_shared<BuildFlags>();
  CLI::App* command = memory.add_subcommand("add", "Read more texts into a memory that is there");
  command->add_option("memory", flags->out, "The memory's file")->required()->type_name("NAME.memory");
  add_reading_flags(*command, *flags);
  command->footer("Examples:\n  lookback memory add library.memory --model runs/books new-book.txt");
  command->callback([flags] {
    flags->config.elements = memory_elements_name(StoredMemory(flags->out).format().elements);
    const int code = run_build(*flags);
    if (code != 0) throw CLI::RuntimeError(code);
  });
}

void add_build(CLI::App& memory) {
  const auto flags = std::make_shared<BuildFlags>();
  CLI::App* command = memory.add_subcommand("build", "Read texts into a memory, or add them to one");
  add_reading_flags(*command, *flags);
  command->add_option("--out", flags->out, "The memory's file")->required()->type_name("NAME.memory");
  command
      ->add_option("--elements", flags->config.elements,
                   "Of stored keys and values: float32, bfloat16 or int8 (a scale for each position and head)")
      ->capture_default_str();
  command->footer(
      "Examples:\n"
      "  lookback memory build --model runs/books library/ --out library.memory\n"
      "  lookback memory build --model runs/books more.jsonl.zst --out library.memory --elements int8\n"
      "Killed or stopped (Ctrl-C), the same command goes on where it was.");
  command->callback([flags] {
    const int code = run_build(*flags);
    if (code != 0) throw CLI::RuntimeError(code);
  });
}

CLI::App* add_on_file(CLI::App& memory, const std::string& name, const std::string& description,
                      const std::string& example, const std::shared_ptr<FileFlags>& flags,
                      void (*run)(const FileFlags&)) {
  CLI::App* command = memory.add_subcommand(name, description);
  command->add_option("memory", flags->path, "The memory's file")->required()->type_name("NAME.memory");
  command->footer("Examples:\n  lookback memory " + example);
  command->callback([flags, run] { run(*flags); });
  return command;
}

}  // namespace

void add_memory_command(CLI::App& app) {
  CLI::App* memory = app.add_subcommand("memory", "Read texts once, keep what is remembered of them");
  memory->require_subcommand(1);
  add_build(*memory);
  add_add(*memory);
  add_merge(*memory);
  add_memory_index_command(*memory);
  const auto info = std::make_shared<FileFlags>();
  add_on_file(*memory, "info", "What a memory holds", "info library.memory", info, run_info)
      ->add_flag("--json", info->json, "One line of JSON");
  const auto verify = std::make_shared<FileFlags>();
  add_on_file(*memory, "verify", "Read all of a memory and compare its checksums", "verify library.memory", verify,
              run_verify);
  const auto remove = std::make_shared<FileFlags>();
  add_on_file(*memory, "remove", "Take documents out of a memory", "remove library.memory library/draft.txt 17", remove,
              run_remove)
      ->add_option("documents", remove->documents, "Names or ids, as `memory info` lists them")
      ->required();
}

}  // namespace lookback

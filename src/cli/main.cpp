// lookback: parses, calls, prints. Exit codes: 0 done, 1 failed (one line says why), 2 misuse of flags,
// 130 interrupted, 141 nobody reads standard output any more.
#include <CLI/CLI.hpp>

#include <exception>
#include <ios>

#include "cli/commands.h"
#include "cli/exit_codes.h"
#include "core/error.h"
#include "core/interrupt.h"
#include "core/standard_streams.h"
#include "lookback/version.h"

namespace {

// Everything but the end of standard output.
int run(int argc, char** argv) {
  CLI::App app{"Lookback: long-context language models whose retriever is trained by the language-model loss"};
  app.set_version_flag("--version", lookback::version);
  app.require_subcommand(0, 1);  // none: said below, after what was given instead
  bool debug = false;
  app.add_flag("--debug", debug, "On failure also show the exception's type and origin");
  lookback::add_tokenize_command(app);
  lookback::add_detokenize_command(app);
  lookback::add_tokenizer_command(app);
  lookback::add_prepare_command(app);
  lookback::add_demo_command(app);
  lookback::add_eval_command(app);
  lookback::add_generate_command(app);
  lookback::add_score_command(app);
  lookback::add_train_command(app);
  lookback::add_finetune_command(app);
  lookback::add_estimate_command(app);
  lookback::add_compare_command(app);
  lookback::add_memory_command(app);
  try {
    app.parse(argc, argv);
    if (app.get_subcommands().empty()) throw CLI::RequiredError("A command");
  } catch (const CLI::RuntimeError& error) {
    // A command's own exit code; it has said why.
    return error.get_exit_code();
  } catch (const CLI::ParseError& error) {
    const int code = app.exit(error, lookback::output_stream());
    return code == 0 ? 0 : lookback::exit_misuse;
  } catch (const std::ios_base::failure&) {
    return lookback::exit_failed;  // standard output's; main() says why
  } catch (const lookback::Error& error) {
    lookback::print_message("lookback: {}\n", error.what());
    return lookback::interrupt_token().stop_requested() ? lookback::exit_interrupted : lookback::exit_failed;
  } catch (const std::exception& error) {
    lookback::print_message("lookback: internal error: {}\n", error.what());
    return lookback::exit_failed;
  }
  return lookback::interrupt_token().stop_requested() ? lookback::exit_interrupted : 0;
}

}  // namespace

int main(int argc, char** argv) {
  lookback::open_standard_streams();
  const int code = run(argc, argv);
  const lookback::OutputResult output = lookback::close_standard_output();
  if (output.end == lookback::OutputEnd::reader_gone) return lookback::exit_reader_gone;
  if (output.end == lookback::OutputEnd::written) return code;
  lookback::print_message("lookback: cannot write standard output: {}\n", output.reason);
  return lookback::exit_failed;
}

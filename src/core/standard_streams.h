// Standard output and standard error, whose reader may go away and whose disk may be full. Everything that the program
// prints goes through here.
#pragma once

#include <fmt/core.h>

#include <ostream>
#include <string>
#include <string_view>
#include <utility>

namespace lookback {

// Called once, first thing in main(): a closed pipe no longer kills the process, and a standard stream that is closed
// is opened on nothing, so that no file of ours takes its number.
void open_standard_streams();

// Prints to standard output as it is. The first failure is kept for close_standard_output(), asks long work to stop as
// Ctrl-C does (interrupt.h), so that it saves its state, and makes what is printed later vanish.
void write_output(std::string_view text);

// Hands over to the system what was printed.
void flush_output();

// Prints to standard output; bytes that are no UTF-8 become U+FFFD.
void print_text(std::string_view text);

template <typename... Args>
void print_output(fmt::format_string<Args...> format, Args&&... args) {
  print_text(fmt::format(format, std::forward<Args>(args)...));
}

// Prints to standard error likewise. There is nobody to tell when that fails.
void print_message_text(std::string_view text);

template <typename... Args>
void print_message(fmt::format_string<Args...> format, Args&&... args) {
  print_message_text(fmt::format(format, std::forward<Args>(args)...));
}

// A stream over write_output(), bad once output has failed.
std::ostream& output_stream();

// How standard output ended.
enum class OutputEnd { written, reader_gone, failed };

struct OutputResult {
  OutputEnd end = OutputEnd::written;
  std::string reason;  // the system's, of a failure
};

// Flushes; the last thing that main() does.
OutputResult close_standard_output();

}  // namespace lookback

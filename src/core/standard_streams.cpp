#include "core/standard_streams.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <mutex>
#include <streambuf>

#include "core/interrupt.h"
#include "core/shown_text.h"

namespace lookback {
namespace {

// What there is once in a process.
struct Output {
  std::mutex mutex;
  int error = 0;  // of the first failure
};

Output& output() {
  static Output only;
  return only;
}

void note_failure(int error) {
  Output& state = output();
  const std::lock_guard lock(state.mutex);
  if (state.error != 0) return;
  state.error = error != 0 ? error : EIO;
  request_interrupt();
}

bool has_failed() {
  Output& state = output();
  const std::lock_guard lock(state.mutex);
  return state.error != 0;
}

class OutputBuffer : public std::streambuf {
 protected:
  std::streamsize xsputn(const char* text, std::streamsize size) override {
    write_output({text, static_cast<std::size_t>(size)});
    return has_failed() ? 0 : size;
  }
  int_type overflow(int_type character) override {
    if (traits_type::eq_int_type(character, traits_type::eof())) return traits_type::not_eof(character);
    const char byte = traits_type::to_char_type(character);
    return xsputn(&byte, 1) == 1 ? character : traits_type::eof();
  }
  int sync() override {
    flush_output();
    return has_failed() ? -1 : 0;
  }
};

}  // namespace

void open_standard_streams() {
  std::signal(SIGPIPE, SIG_IGN);
  for (const int stream : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (::fcntl(stream, F_GETFD) >= 0) continue;
    // The wrong way round, so that using it is an error as before.
    [[maybe_unused]] const int opened = ::open("/dev/null", stream == STDIN_FILENO ? O_WRONLY : O_RDONLY);
  }
}

void write_output(std::string_view text) {
  if (has_failed()) return;
  errno = 0;
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size()) note_failure(errno);
}

void flush_output() {
  if (has_failed()) return;
  errno = 0;
  if (std::fflush(stdout) != 0) note_failure(errno);
}

void print_text(std::string_view text) { write_output(shown_text(text)); }

void print_message_text(std::string_view text) {
  const std::string shown = shown_text(text);
  std::fwrite(shown.data(), 1, shown.size(), stderr);
  std::fflush(stderr);
}

std::ostream& output_stream() {
  static OutputBuffer buffer;
  static std::ostream stream(&buffer);
  return stream;
}

OutputResult close_standard_output() {
  flush_output();
  Output& state = output();
  const std::lock_guard lock(state.mutex);
  if (state.error == 0) return {};
  if (state.error == EPIPE) return {OutputEnd::reader_gone, ""};
  return {OutputEnd::failed, std::strerror(state.error)};
}

}  // namespace lookback

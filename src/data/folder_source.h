// A folder's files as one text: what prepare makes of a repository, so that what belongs together is read together.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "data/byte_source.h"
#include "data/input_files.h"

namespace lookback {

// Told of a file that is left out: where in the joined text it would have stood, and "PATH: reason".
using OnLeftOutFile = std::function<void(std::int64_t offset, std::string reason)>;

// The files of `folder` (InputFile::members) in their order, each behind a line "# file: PATH" with its path from the
// folder's parent on, and ended by a line end. A file that is no UTF-8, or longer than longest_piece_bytes, is left
// out. One file at a time is held. `folder` must live as long as the source.
std::unique_ptr<ByteSource> open_folder_source(const InputFile& folder, OnLeftOutFile left_out);

}  // namespace lookback

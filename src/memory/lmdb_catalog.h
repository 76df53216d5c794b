// The catalog of a memory file that lookback 0.1 wrote: LMDB's format, read without its library, which trusts every
// page.
#pragma once

#include "memory/memory_catalog.h"

namespace lookback {

// Without a format when the file has no tables yet. Throws Error naming the file when a page is not what it should be:
// outside the file, seen twice, entries outside their page, keys out of order, other counts than the tables' roots say.
// These pages carry no checksum, so a change that leaves all that in order (a letter of a document's name) is not
// found.
MemoryCatalog read_lmdb_catalog(const MemoryFile& file);

}  // namespace lookback

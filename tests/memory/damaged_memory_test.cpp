// Whatever is damaged in a memory file, by chance or on purpose: what is read is what was written, or an error names
// the file. That nothing outside of it is read, the sanitizers see.
#include <gmock/gmock.h>
#include <unistd.h>

#include <fstream>
#include <functional>

#include "core/error.h"
#include "core/files.h"
#include "core/random.h"
#include "memory/checksum.h"
#include "memory/memory_blocks.h"
#include "memory/merge_memories.h"

namespace lookback {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::ThrowsMessage;

class DamagedMemoryTest : public testing::Test {
 protected:
  void SetUp() override { fs::create_directories(folder_); }
  void TearDown() override { fs::remove_all(folder_); }

  // In several commits, so that its catalog has segments behind the first, and with pages that are free.
  std::string sound_file() const {
    MemoryWriter writer(path_, format_);
    for (std::uint64_t seed = 1; seed < 7; ++seed) {
      write_seeded(writer, format_, seed, 2, static_cast<std::int64_t>(seed));
      if (seed == 4) writer.remove_document(1);
      writer.commit();
    }
    return read_file(path_);
  }

  // Writes over the file, and checks that an error names it. The reason of the refusal; empty when there is none.
  std::string use(const std::string& content, const std::function<void()>& act) const {
    std::ofstream(path_, std::ios::binary) << content;
    try {
      act();
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), HasSubstr(path_.string()));
      return error.what();
    }
    return "";
  }
  void read() const {
    const StoredMemory memory(path_);
    memory.verify();
    EXPECT_EQ(memory.documents().size(), 5U);
    EXPECT_TRUE(holds_what_was_written(memory));
  }
  // As a person would who knows nothing of the damage. What it makes of a document that was sound stays sound.
  void write() const {
    {
      MemoryWriter writer(path_, format_);
      if (!writer.documents().empty()) writer.remove_document(writer.documents().front().id);
      write_seeded(writer, format_, 77, 2, 3);
      writer.commit();
    }
    StoredMemory(path_).verify();
    fs::remove(folder_ / "merged.memory");
    merge_memories({path_}, folder_ / "merged.memory", {});
  }

  const fs::path folder_ = fs::temp_directory_path() / ("lookback_damaged" + std::to_string(::getpid()));
  const fs::path path_ = folder_ / "a.memory";
  const MemoryFormat format_ = small_format();
};

std::string flipped(std::string content, std::size_t place, Random& random) {
  content[place] = static_cast<char>(content[place] ^ (1 << random.below(8)));
  return content;
}

TEST_F(DamagedMemoryTest, AFlippedBitChangesNothingOrIsNamed) {
  const std::string sound = sound_file();
  Random random(1);
  // All of both headers, then anything.
  int num_refused = 0;
  for (std::size_t i = 0; i < 128 + 3000; ++i) {
    const std::size_t place = i < 128 ? i / 64 * 4096 + i % 64 : random.below(sound.size());
    const std::string reason = use(flipped(sound, place, random), [this] { read(); });
    EXPECT_TRUE(i >= 128 || !reason.empty()) << place;
    num_refused += reason.empty() ? 0 : 1;
  }
  EXPECT_GT(num_refused, 500);
  for (int i = 0; i < 300; ++i) {
    use(flipped(sound, random.below(sound.size()), random), [this] { write(); });
  }
}

TEST_F(DamagedMemoryTest, AFileCutShortAnywhereIsRefused) {
  const std::string sound = sound_file();
  for (std::size_t size = 1; size < sound.size(); size += size < 9000 ? 97 : 1000) {
    EXPECT_NE(use(sound.substr(0, size), [this] { read(); }), "") << size;
    const std::string reason = use(sound.substr(0, size), [this] { write(); });
    EXPECT_TRUE(size <= 12'288 || !reason.empty()) << size;
  }
}

// A header or a page of an older state in the place of the younger one's.
TEST_F(DamagedMemoryTest, PagesOfAnotherStateAreNotTakenForThisOnes) {
  const std::string before = sound_file();
  {
    MemoryWriter writer(path_, format_);
    writer.remove_document(writer.documents().front().id);
    writer.commit();
    write_seeded(writer, format_, 9, 3, 4);
    writer.commit();
    write_seeded(writer, format_, 10, 1, 1);
    writer.commit();
  }
  const std::string after = read_file(path_);
  for (std::size_t page = 0; page < before.size(); page += 4096) {
    std::string mixed = after;
    mixed.replace(page, 4096, before.substr(page, 4096));
    use(mixed, [this] {
      const StoredMemory memory(path_);
      memory.verify();
      EXPECT_EQ(memory.documents().size(), 6U);
      EXPECT_TRUE(holds_what_was_written(memory));
    });
  }
}

// The index pages of lookback 0.1 have no checksums: names and places in it may be others, chunks not.
TEST_F(DamagedMemoryTest, AFlippedBitOfAFileOfLookback01HarmsNothing) {
  const std::string sound = read_file(fs::path(LOOKBACK_SOURCE_DIR) / "tests/fixtures/memory/version_0_1.memory");
  Random random(2);
  std::vector<std::size_t> index_pages;
  for (std::size_t page = 0; page < sound.size(); page += 4096) {
    if (page < 8192 || sound[page + 10] == 1 || sound[page + 10] == 2) index_pages.push_back(page);
  }
  ASSERT_GT(index_pages.size(), 8U);
  int num_refused = 0;
  for (int i = 0; i < 5000; ++i) {
    // Half of them where the pages say what is in them.
    const std::size_t page = index_pages[random.below(index_pages.size())];
    const std::size_t place = i % 2 == 0 ? page + random.below(96) : random.below(sound.size());
    const std::string reason = use(flipped(sound, place, random), [this] {
      const StoredMemory memory(path_);
      memory.verify();
      for (std::int64_t chunk = 0; chunk < memory.num_chunks(); ++chunk) memory.chunk(chunk);
    });
    num_refused += reason.empty() ? 0 : 1;
    if (i % 10 == 0) use(flipped(sound, place, random), [this] { write(); });
  }
  EXPECT_GT(num_refused, 1000);
}

// Catalogs whose checksums fit, as someone would make them who means harm.
TEST_F(DamagedMemoryTest, ACraftedCatalogIsRefused) {
  const auto refused = [this](const std::function<void(CatalogChange&)>& craft) {
    fs::remove(path_);
    CatalogChange catalog;
    {
      MemoryWriter writer(path_, format_);
      write_seeded(writer, format_, 1, 2, 3);
      writer.commit();
    }
    {
      MemoryFile file(path_, MemoryFile::Mode::write);
      const MemoryCatalog found = read_catalog(file);
      catalog.number = file.state().number + 1;
      catalog.format = found.format;
      catalog.documents = found.documents;
      catalog.blocks = found.blocks;
      craft(catalog);
      commit_catalog(file, catalog);
    }
    EXPECT_THROW(StoredMemory{path_}, Error);
    EXPECT_THROW(MemoryWriter(path_, format_), Error);
  };
  const auto first_block = [](CatalogChange& catalog) -> StoredBlock& {
    return catalog.blocks.begin()->second.front();
  };
  const std::uint64_t large = ~std::uint64_t{0};
  refused([&](CatalogChange& catalog) { first_block(catalog).chunks_place = large - 100; });
  refused([&](CatalogChange& catalog) { first_block(catalog).landmarks_place = 0; });
  refused([&](CatalogChange& catalog) { first_block(catalog).text_place = std::uint64_t{1} << 40; });
  refused([&](CatalogChange& catalog) { first_block(catalog).num_chunks = 0; });
  refused([&](CatalogChange& catalog) { first_block(catalog).num_chunks = std::int64_t{1} << 61; });
  refused([](CatalogChange& catalog) { catalog.documents.front().num_chunks += 1; });
  refused([](CatalogChange& catalog) { catalog.documents.clear(); });
  refused([](CatalogChange& catalog) { catalog.format = "{}"; });
  refused([](CatalogChange& catalog) { catalog.format = "{"; });
  refused([](CatalogChange& catalog) { catalog.number -= 1; });
  refused([](CatalogChange& catalog) { catalog.before = {8192, 4096}; });
  refused([large](CatalogChange& catalog) { catalog.before = {large, large}; });
  refused([this](CatalogChange& catalog) {
    MemoryFormat format = format_;
    format.num_heads = format.num_vectors = format.head_dim = 1 << 20;
    catalog.format = to_json(format).dump();
  });
  refused([&](CatalogChange& catalog) {  // one place many times
    std::vector<StoredBlock>& blocks = catalog.blocks.begin()->second;
    blocks.assign(100'000, blocks.front());
    catalog.documents.front().num_chunks = 300'000;
  });
}

// A place twice: whoever reads finds what is there, whoever writes would free it once and use it twice.
TEST_F(DamagedMemoryTest, AWriterRefusesTwoBlocksInOnePlace) {
  {
    MemoryWriter writer(path_, format_);
    write_seeded(writer, format_, 1, 3, 3);
    writer.commit();
  }
  {
    MemoryFile file(path_, MemoryFile::Mode::write);
    const MemoryCatalog found = read_catalog(file);
    CatalogChange catalog;
    catalog.number = file.state().number + 1;
    catalog.format = found.format;
    catalog.documents = found.documents;
    catalog.blocks = found.blocks;
    std::vector<StoredBlock>& blocks = catalog.blocks.begin()->second;
    blocks[1] = blocks[0];
    commit_catalog(file, catalog);
  }
  EXPECT_THAT([this] { MemoryWriter(path_, format_); },
              ThrowsMessage<Error>(HasSubstr("two of its parts lie in one place")));
}

TEST_F(DamagedMemoryTest, ACatalogOfAnyBytesIsParsedOrRefused) {
  sound_file();
  std::vector<std::byte> segment;
  {
    const MemoryFile file(path_, MemoryFile::Mode::read);
    const MemoryCatalog found = read_catalog(file);
    ASSERT_GT(found.segments.size(), 3U);
    segment = file.read(found.segments.back().begin, found.segments.back().bytes - 8);
  }
  Random random(3);
  int num_refused = 0;
  for (int i = 0; i < 20'000; ++i) {
    std::vector<std::byte> bytes = segment;
    for (std::uint64_t changes = 1 + random.below(3); changes > 0; --changes) {
      bytes[random.below(bytes.size())] = static_cast<std::byte>(random.below(256));
    }
    if (i % 5 == 0) bytes.resize(random.below(bytes.size()));
    append_checksum(bytes);
    try {
      parse_catalog_change(bytes, "a.memory");
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), HasSubstr("a.memory: its catalog is damaged"));
      ++num_refused;
    }
  }
  EXPECT_GT(num_refused, 2000);
}

}  // namespace
}  // namespace lookback

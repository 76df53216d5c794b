#include "ingest/known_documents.h"

#include <gmock/gmock.h>
#include <unistd.h>
#include <zlib.h>

#include "core/error.h"
#include "core/files.h"
#include "core/stop.h"

namespace lookback {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::ThrowsMessage;
using Answer = KnownDocuments::Answer;

NewDocument wanted(const std::string& name, std::uint64_t content, const std::string& path) {
  return {name, path, document_source({0, content}, path), "12 bytes, 34 ns"};
}

MemoryDocument document(std::uint64_t id, const std::string& name, const std::string& source, bool finished = true) {
  return {.id = id, .name = name, .source = source, .finished = finished};
}

TEST(KnownDocuments, ContentDecides) {
  const std::string source = document_source({0, 7}, "/a/n.txt");
  EXPECT_EQ(source.substr(0, 43), "xxh128 00000000000000000000000000000007 at ");
  const KnownDocuments known({document(3, "n.txt", source), document(4, "half", document_source({0, 8}, "/h"), false)});
  EXPECT_EQ(known.find(wanted("n.txt", 7, "/a/n.txt"), "m").answer, Answer::known);
  EXPECT_EQ(known.find(wanted("moved.txt", 7, "/b/moved.txt"), "m").answer, Answer::known);
  const auto half = known.find(wanted("elsewhere", 8, "/e"), "m");
  EXPECT_EQ(half.answer, Answer::goes_on);
  EXPECT_EQ(half.document.id, 4U);
  // Another content: of the same file, of another file of that name, of another name.
  EXPECT_THAT([&] { known.find(wanted("n.txt", 9, "/a/n.txt"), "m"); },
              ThrowsMessage<Error>(HasSubstr("n.txt: has changed since it was read into m")));
  const auto other = known.find(wanted("n.txt", 9, "/b/n.txt"), "m");
  EXPECT_EQ(other.answer, Answer::is_new);
  EXPECT_EQ(other.name, "/b/n.txt");
  EXPECT_EQ(known.find(wanted("new.txt", 9, "/a/new.txt"), "m").name, "new.txt");
  const auto changed = known.find(wanted("half", 9, "/h"), "m");
  EXPECT_EQ(changed.answer, Answer::replace);
  EXPECT_EQ(changed.document.id, 4U);
}

// Their content was not noted: the name, and the file's size and time, are all there is.
TEST(KnownDocuments, DocumentsOfBeforeAreKnownAsTheyWere) {
  const KnownDocuments known({document(0, "old.txt", "12 bytes, 34 ns"), document(1, "aged.txt", "12 bytes, 33 ns"),
                              document(2, "part.txt", "12 bytes, 34 ns", false)});
  EXPECT_EQ(known.find(wanted("old.txt", 7, "/a/old.txt"), "m").answer, Answer::known);
  EXPECT_EQ(known.find(wanted("part.txt", 7, "/a/part.txt"), "m").answer, Answer::goes_on);
  EXPECT_THAT([&] { known.find(wanted("aged.txt", 7, "/a/aged.txt"), "m"); },
              ThrowsMessage<Error>(HasSubstr("aged.txt: has changed since")));
  EXPECT_EQ(known.find(wanted("other.txt", 7, "/a/other.txt"), "m").answer, Answer::is_new);
}

TEST(KnownDocuments, WhatIsRemovedIsUnknown) {
  KnownDocuments known({document(3, "n.txt", document_source({0, 7}, "/a/n.txt"))});
  known.remove(3);
  EXPECT_EQ(known.find(wanted("n.txt", 7, "/a/n.txt"), "m").answer, Answer::is_new);
  EXPECT_EQ(known.find(wanted("n.txt", 8, "/a/n.txt"), "m").answer, Answer::is_new);
}

TEST(HashTextFile, IsOfTheWholeTextHoweverItIsCompressed) {
  const fs::path folder = fs::temp_directory_path() / ("lookback_hash_text_file" + std::to_string(::getpid()));
  fs::create_directories(folder);
  std::string text(3'000'000, 'a');
  const auto hash = [&](const char* name) {
    const ContentHash found = hash_text_file(folder / name, {}).value();
    return std::pair(found.high, found.low);
  };
  write_file_atomic(folder / "a.txt", text);
  const gzFile packed = gzopen((folder / "a.txt.gz").c_str(), "wb");
  gzwrite(packed, text.data(), static_cast<unsigned>(text.size()));
  gzclose(packed);
  text.back() = 'b';
  write_file_atomic(folder / "b.txt", text);
  EXPECT_EQ(hash("a.txt"), hash("a.txt.gz"));
  EXPECT_NE(hash("a.txt"), hash("b.txt"));
  StopSource stop;
  stop.request_stop();
  EXPECT_FALSE(hash_text_file(folder / "a.txt", stop.token()).has_value());
  write_file_atomic(folder / "empty.txt", "");
  // As published for XXH3's 128 bits of nothing.
  EXPECT_EQ(hash("empty.txt"), std::pair(std::uint64_t{0x99aa06d3014798d8}, std::uint64_t{0x6001c324468d497f}));
  fs::remove_all(folder);
}

}  // namespace
}  // namespace lookback

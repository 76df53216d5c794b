#include "report/demo_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "core/error.h"
#include "core/files.h"
#include "report/demo_report_json.h"
#include "report/example_report.h"

namespace lookback {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

TEST(DemoReport, IsOneSelfContainedPage) {
  const std::string html = demo_report_html(example_report());
  EXPECT_THAT(html, testing::StartsWith("<!DOCTYPE html>"));
  for (const char* fetched : {"<script", "<link", "src=", "href=", "url(", "@import"}) {
    EXPECT_THAT(html, Not(HasSubstr(fetched)));
  }
  // The only address is the name of the SVG namespace, which nothing fetches.
  for (std::size_t at = html.find("http"); at != std::string::npos; at = html.find("http", at + 1)) {
    EXPECT_EQ(html.substr(at, 27), "http://www.w3.org/2000/svg\"");
  }
  EXPECT_THAT(html, HasSubstr("prefers-color-scheme:dark"));
  if (const char* path = std::getenv("LOOKBACK_REPORT_PREVIEW")) write_file_atomic(path, html);
}

TEST(DemoReport, HighlightsTheNeedleAndEscapesWhatModelsSay) {
  const std::string html = demo_report_html(example_report());
  EXPECT_THAT(html, HasSubstr("e been <mark>|key fox is 48213|</mark>ut at "));
  EXPECT_THAT(html, HasSubstr("1␁\xEF\xBF\xBD&lt;b&gt;"));
  EXPECT_THAT(html, HasSubstr("night us &amp; them &lt; "));
}

TEST(DemoReport, ProgramsGetTheSameNumbers) {
  const DemoReport report = example_report();
  const Json json = Json::parse(dump_line(demo_report_json(report)));
  const DemoLength& longest = report.drt.lengths.back();
  EXPECT_EQ(json.at("drt").at("by_length").size(), report.drt.lengths.size());
  EXPECT_EQ(json.at("drt").at("by_length").back().at("length"), longest.length_tokens);
  EXPECT_EQ(json.at("drt").at("by_length").back().at("accuracy"), longest.accuracy());
  EXPECT_TRUE(json.at("sliding_window").at("by_length").back().at("recall_at_k").is_null());
  EXPECT_EQ(json.at("learned"), demo_learned(report));
}

TEST(DemoReport, TableHasARowALength) {
  const auto table = demo_accuracy_table(example_report());
  ASSERT_EQ(table.size(), 7U);
  EXPECT_THAT(table[3], ElementsAre("7,936", "16×", "95%", "84–100%", "20", "100%", "0%", "0–16%", "20"));
}

TEST(DemoReport, LengthsThatTheBaselineLacksAreDashes) {
  DemoReport report = example_report();
  report.sliding_window.lengths.pop_back();
  const auto table = demo_accuracy_table(report);
  EXPECT_EQ(table.back()[6], "–");
}

TEST(DemoReport, SaysPlainlyWhenNothingWasLearned) {
  DemoReport report = example_report();
  EXPECT_TRUE(demo_learned(report));
  report.drt.lengths.back().num_correct = 16;
  EXPECT_TRUE(demo_learned(report));
  report.drt.lengths.back().num_correct = 15;
  EXPECT_FALSE(demo_learned(report));
  EXPECT_THAT(demo_report_html(report), HasSubstr("did not learn"));
}

TEST(DemoReport, RefusesAModelWithoutResults) {
  DemoReport report = example_report();
  report.sliding_window.lengths.clear();
  EXPECT_THROW(demo_report_html(report), Error);
}

}  // namespace
}  // namespace lookback

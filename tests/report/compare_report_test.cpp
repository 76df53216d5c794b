#include "report/compare_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/error.h"

namespace lookback {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

CompareReport some_report() {
  CompareReport report;
  report.contexts = {"1K", "full"};
  report.positions = {{0, 1024}, {1024, 2048}};
  report.scored_tokens = 2000;
  ComparedModel drt;
  drt.name = drt.kind = "drt";
  drt.num_parameters = 12'345;
  drt.num_seeds = 2;
  drt.perplexities = {range_of({5, 6}), range_of({4, 5})};
  drt.bits_per_byte = {range_of({2.5, 2.6}), range_of({2.4, 2.5})};
  drt.by_position = {range_of({1.5, 1.7}), range_of({1.4, 1.6})};
  drt.validation_curve = {{100, 3.5}, {200, 2.5}};
  drt.decode_tokens_per_second = range_of({100, 300});
  ComparedModel window;
  window.name = "window";
  window.kind = "sliding-window";
  window.num_parameters = 12'000;
  window.perplexities = {SeedRange{}, SeedRange{}};
  window.bits_per_byte = {SeedRange{}, SeedRange{}};
  report.needle_lengths = {{"1K", 1024}, {"4K", 4096}};
  report.needle_task = "single";
  report.needle_samples = 100;
  drt.needles = {range_of({1, 0.5}), range_of({0.25})};
  report.models = {drt, window};
  return report;
}

TEST(CompareReport, RangesByHand) {
  const SeedRange range = range_of({3, 1, 5});
  EXPECT_EQ(range.mean, 3);
  EXPECT_EQ(range.low, 1);
  EXPECT_EQ(range.high, 5);
  EXPECT_EQ(range.count, 3);
  EXPECT_EQ(range_of({}).count, 0);
}

TEST(CompareReport, TablesHoldARowAModel) {
  const CompareReport report = some_report();
  const CompareTable table = compare_quality_table(report);
  EXPECT_THAT(table[0], ElementsAre("model", "parameters", "seeds", "1K", "full"));
  EXPECT_THAT(table[1], ElementsAre("drt", "12,345", "2", "5.500 (5.000-6.000)", "4.500 (4.000-5.000)"));
  EXPECT_THAT(table[2], ElementsAre("window", "12,000", "0", "-", "-"));
  EXPECT_THAT(compare_position_table(report)[0], ElementsAre("model", "0-1K", "1K-2K"));
  EXPECT_THAT(compare_position_table(report)[1],
              ElementsAre("drt", "1.6000 (1.5000-1.7000)", "1.5000 (1.4000-1.6000)"));
  EXPECT_THAT(compare_position_table(report)[2], ElementsAre("window", "-", "-"));
}

TEST(CompareReport, MarkdownAndCsvHoldTheFigures) {
  const CompareReport report = some_report();
  EXPECT_THAT(compare_markdown(report),
              HasSubstr("| drt | 12,345 | 2 | 5.500 (5.000-6.000) | 4.500 (4.000-5.000) |\n"));
  EXPECT_THAT(compare_markdown(report),
              HasSubstr("| model | parameters | seeds | 1K | full |\n|---|---|---|---|---|\n"));
  EXPECT_THAT(
      compare_markdown(report),
      HasSubstr("100 questions a length and seed\n\n| model | 1K | 4K |\n|---|---|---|\n| drt | 75% (50%-100%) | "
                "25% |\n| window | - | - |\n"));
  const std::string csv = compare_csv(report);
  EXPECT_THAT(csv, HasSubstr("drt,drt,12345,perplexity,full,4.5,4,5,2\n"));
  EXPECT_THAT(csv, HasSubstr("drt,drt,12345,needles_found,1K,0.75,0.5,1,2\n"));
  EXPECT_THAT(csv, HasSubstr("drt,drt,12345,decode_tokens_per_second,,200,100,300,2\n"));
  EXPECT_THAT(csv, testing::Not(HasSubstr("window,sliding-window")));
}

TEST(CompareReport, ThePageShowsCurvesAndTables) {
  CompareReport report = some_report();
  const std::string page = compare_report_html(report);
  EXPECT_THAT(page, HasSubstr("Loss by position in the document"));
  EXPECT_THAT(page, HasSubstr("Validation loss while training"));
  EXPECT_THAT(page, HasSubstr("5.500 (5.000-6.000)"));
  EXPECT_THAT(page, HasSubstr("Needles found after training further on them"));
  report.needle_lengths.clear();
  EXPECT_THAT(compare_report_html(report), testing::Not(HasSubstr("Needles")));
  EXPECT_THAT(compare_markdown(report), testing::Not(HasSubstr("Needles")));
  report.models[0].num_seeds = 0;
  EXPECT_THROW(compare_report_html(report), Error);
}

}  // namespace
}  // namespace lookback

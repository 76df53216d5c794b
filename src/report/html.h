// One self-contained page: styles and pictures inside, no script, nothing fetched. Follows the reader's light
// or dark setting, prints on light paper.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace lookback {

struct HtmlTable {
  std::string caption;
  std::vector<std::string> headers;
  std::vector<std::vector<std::string>> rows;  // the first column names the row, the others are set as figures
  bool prose = false;                          // the other columns are words
};

// A figure to be seen first: "100%" over "exact match at 507,904 tokens".
struct HtmlTile {
  std::string value;
  std::string label;
};

// All texts are plain text and escaped here; only `svg` and `markup` are taken as they are.
class HtmlPage {
 public:
  HtmlPage(std::string_view title, std::string_view lead);

  void tiles(const std::vector<HtmlTile>& tiles);
  void heading(std::string_view text);
  void paragraph(std::string_view text);
  void figure(std::string_view svg, std::string_view caption);
  // Throws Error when a row has not as many cells as there are headers.
  void table(const HtmlTable& table);
  void code(std::string_view text);
  void markup(std::string_view html);

  // The whole document; `footer` stands at its end. The page is empty afterwards.
  std::string finish(std::string_view footer);

 private:
  std::string body_;
  std::string title_;
};

}  // namespace lookback

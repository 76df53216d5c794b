#include "report/html.h"

#include <fmt/core.h>

#include <utility>

#include "core/error.h"
#include "report/escape.h"
#include "report/palette.h"

namespace lookback {
namespace {

// The colours come as variables from the palette; .fill-x and .stroke-x recolour the pictures in the dark.
constexpr std::string_view style_sheet = R"css(
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%}
body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.6 system-ui,"Segoe UI",Roboto,"Helvetica Neue","Noto Sans",Arial,sans-serif}
main{max-width:944px;margin:0 auto;padding:56px 32px 72px}
h1{font-size:34px;line-height:1.2;letter-spacing:-.015em;margin:0 0 12px;font-weight:680}
h2{font-size:22px;line-height:1.3;letter-spacing:-.01em;margin:56px 0 8px;font-weight:650}
p{margin:8px 0 14px;max-width:76ch}
.lead{font-size:19px;color:var(--muted);margin-bottom:28px}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(190px,1fr));gap:14px;margin:0 0 8px;padding:0}
.tile{border:1px solid var(--grid);border-radius:12px;padding:16px 18px}
.tile b{display:block;font-size:28px;line-height:1.15;letter-spacing:-.02em;font-weight:680;font-variant-numeric:tabular-nums}
.tile span{display:block;margin-top:6px;color:var(--muted);font-size:14px;line-height:1.4}
figure{margin:20px 0 10px}
.picture{border:1px solid var(--grid);border-radius:12px;padding:12px 8px;overflow-x:auto}
.picture svg{display:block;width:100%;height:auto;min-width:620px}
figcaption,caption{color:var(--muted);font-size:14px;line-height:1.5;text-align:left}
figcaption{margin-top:10px;max-width:96ch}
.scroll{overflow-x:auto;margin:18px 0}
table{border-collapse:collapse;width:100%;font-size:15px;font-variant-numeric:tabular-nums}
caption{padding:0 0 8px}
th,td{padding:7px 12px;border-bottom:1px solid var(--grid);text-align:right;white-space:nowrap}
th:first-child,td:first-child{text-align:left;padding-left:2px}
thead th{color:var(--muted);font-weight:600;font-size:13.5px;border-bottom-color:var(--axis)}
tbody th{font-weight:500}
table.prose th,table.prose td{text-align:left;white-space:normal;vertical-align:top}
table.prose tbody th{white-space:nowrap;color:var(--muted);padding-right:28px}
code,pre,.text{font-family:ui-monospace,"DejaVu Sans Mono",Menlo,Consolas,monospace}
pre{background:var(--missing);border-radius:10px;padding:14px 16px;overflow-x:auto;font-size:13.5px;line-height:1.65;margin:14px 0}
.cards{display:grid;gap:10px;margin:18px 0;padding:0;list-style:none}
.card{border:1px solid var(--grid);border-radius:12px;padding:12px 16px}
.card.found{border-color:var(--series-1);box-shadow:inset 4px 0 0 var(--series-1)}
.card .head{display:flex;gap:14px;align-items:center;font-size:14px;color:var(--muted);flex-wrap:wrap}
.card .head b{color:var(--ink);font-variant-numeric:tabular-nums;font-weight:650}
.bar{flex:1 1 120px;height:8px;border-radius:4px;background:var(--missing);overflow:hidden;print-color-adjust:exact;-webkit-print-color-adjust:exact}
.bar i{display:block;height:100%;background:var(--series-1)}
.text{font-size:15px;line-height:1.6;margin:8px 0 0;white-space:pre-wrap;overflow-wrap:anywhere}
mark{background:var(--highlight);color:inherit;border-radius:4px;padding:1px 3px;margin:0 -1px;font-weight:650;print-color-adjust:exact;-webkit-print-color-adjust:exact}
dl.answers{display:grid;grid-template-columns:max-content 1fr;gap:6px 20px;margin:18px 0;font-size:15px}
dl.answers dt{color:var(--muted)}
dl.answers dd{margin:0;font-family:ui-monospace,"DejaVu Sans Mono",Menlo,Consolas,monospace;overflow-wrap:anywhere}
.right{color:var(--series-3);font-weight:650}
.wrong{color:var(--series-2);font-weight:650}
footer{margin-top:64px;padding-top:18px;border-top:1px solid var(--grid);color:var(--muted);font-size:14px}
@media (max-width:640px){main{padding:32px 18px 48px}h1{font-size:27px}.lead{font-size:17px}dl.answers{grid-template-columns:1fr}}
@media print{main{max-width:none;padding:0}h2{break-after:avoid}figure,.card,.tile,table,pre{break-inside:avoid}body{font-size:11pt}}
)css";

std::string variables(bool dark) {
  std::string text;
  for (const NamedColour& colour : colours::all) {
    text += fmt::format("--{}:{};", colour.name, dark ? colour.dark : colour.light);
  }
  return text + (dark ? "--highlight:#5a4a00;" : "--highlight:#ffe98a;");
}

std::string picture_rules() {
  std::string rules;
  for (const NamedColour& colour : colours::all) {
    rules += fmt::format(".fill-{0}{{fill:var(--{0})}}.stroke-{0}{{stroke:var(--{0})}}", colour.name);
  }
  return rules;
}

}  // namespace

HtmlPage::HtmlPage(std::string_view title, std::string_view lead) : title_(title) {
  body_ = fmt::format("<h1>{}</h1>\n<p class=\"lead\">{}</p>\n", escape_markup(title), escape_markup(lead));
}

void HtmlPage::tiles(const std::vector<HtmlTile>& tiles) {
  body_ += "<div class=\"tiles\">\n";
  for (const HtmlTile& tile : tiles) {
    body_ += fmt::format("<div class=\"tile\"><b>{}</b><span>{}</span></div>\n", escape_markup(tile.value),
                         escape_markup(tile.label));
  }
  body_ += "</div>\n";
}

void HtmlPage::heading(std::string_view text) { body_ += fmt::format("<h2>{}</h2>\n", escape_markup(text)); }

void HtmlPage::paragraph(std::string_view text) { body_ += fmt::format("<p>{}</p>\n", escape_markup(text)); }

void HtmlPage::figure(std::string_view svg, std::string_view caption) {
  body_ += fmt::format("<figure><div class=\"picture\">\n{}</div>", svg);
  if (!caption.empty()) body_ += fmt::format("<figcaption>{}</figcaption>", escape_markup(caption));
  body_ += "</figure>\n";
}

void HtmlPage::table(const HtmlTable& table) {
  body_ += fmt::format("<div class=\"scroll\"><table{}><caption>{}</caption>\n<thead><tr>",
                       table.prose ? " class=\"prose\"" : "", escape_markup(table.caption));
  for (const std::string& header : table.headers) {
    body_ += fmt::format("<th scope=\"col\">{}</th>", escape_markup(header));
  }
  body_ += "</tr></thead>\n<tbody>\n";
  for (const auto& row : table.rows) {
    require(row.size() == table.headers.size(), "table \"{}\": a row of {} cells under {} headers", table.caption,
            row.size(), table.headers.size());
    body_ += "<tr>";
    for (std::size_t i = 0; i < row.size(); ++i) {
      body_ += i == 0 ? fmt::format("<th scope=\"row\">{}</th>", escape_markup(row[i]))
                      : fmt::format("<td>{}</td>", escape_markup(row[i]));
    }
    body_ += "</tr>\n";
  }
  body_ += "</tbody></table></div>\n";
}

void HtmlPage::code(std::string_view text) {
  // Line by line: the escape would turn line ends into their pictures.
  body_ += "<pre>";
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    body_ += escape_markup(text.substr(0, end));
    if (end == std::string_view::npos) break;
    body_ += '\n';
    text.remove_prefix(end + 1);
  }
  body_ += "</pre>\n";
}

void HtmlPage::markup(std::string_view html) { body_ += html; }

std::string HtmlPage::finish(std::string_view footer) {
  std::string page = "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n";
  page += "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n";
  page += "<meta name=\"color-scheme\" content=\"light dark\">\n";
  page += fmt::format("<title>{}</title>\n<style>\n:root{{{}}}\n", escape_markup(title_), variables(false));
  page += fmt::format("@media screen and (prefers-color-scheme:dark){{:root{{{}}}}}\n", variables(true));
  page += picture_rules();
  page += style_sheet;
  page += "</style>\n</head>\n<body>\n<main>\n";
  page += std::exchange(body_, {});
  page += fmt::format("<footer>{}</footer>\n</main>\n</body>\n</html>\n", escape_markup(footer));
  return page;
}

}  // namespace lookback

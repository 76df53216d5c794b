#include "core/shown_text.h"

#include "core/json.h"

namespace lookback {

std::string shown_text(std::string_view text) {
  // JSON's writer replaces what is invalid, and its reader takes the rest back unchanged.
  return Json::parse(Json(text).dump(-1, ' ', false, Json::error_handler_t::replace)).get<std::string>();
}

}  // namespace lookback

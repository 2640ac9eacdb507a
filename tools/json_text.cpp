#include <nlohmann/json.hpp>

#include <rewind/tools/json_text.h>

namespace rw::detail {

std::string json_string(std::string_view text) {
  std::string out;
  for (const char c : nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace)) {
    if (c == '<')
      out += "\\u003c";  // "</script>" would end the script
    else
      out += c;
  }
  return out;
}

}  // namespace rw::detail

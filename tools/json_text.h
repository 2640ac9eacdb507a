#pragma once

// Internal to tools/.

#include <string>
#include <string_view>

namespace rw::detail {

/// A string of JSON, quotes included, that may stand inside a <script>. Bytes that are no UTF-8 become U+FFFD.
std::string json_string(std::string_view text);

}  // namespace rw::detail

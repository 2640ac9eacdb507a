#pragma once
#include <string_view>

namespace rw {

/// The version of the library that is linked: "0.2.0".
std::string_view version();

}  // namespace rw

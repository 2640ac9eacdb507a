#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace rw {

/// Text from outside, a name in a file or a path, as it may stand in a message: control characters, those that turn the
/// direction of text, and bytes that are not UTF-8 are written as \x1b, and what is longer than `most` bytes ends in
/// "...": one line that a terminal cannot take for a command.
std::string shown(std::string_view text, std::size_t most = 80);

/// Whether all of it is valid UTF-8.
bool is_utf8(std::string_view text);

namespace detail {
/// Length of the valid UTF-8 sequence at the front of `s` (Unicode 15, table 3-7); 0 when there is none.
std::size_t utf8_length(std::string_view s);
}  // namespace detail

}  // namespace rw

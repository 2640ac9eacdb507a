#pragma once

// Internal to tools/graph/.

#include <string>
#include <string_view>

#include <rewind/tools/graph/view.h>

namespace rw::detail {

/// `text` as the inside of a quoted DOT string that Graphviz shows as it is: quotes, backslashes, entities and newlines
/// escaped, control characters and bytes that are not UTF-8 replaced by U+FFFD.
std::string dot_escape(std::string_view text);

/// Valid UTF-8 without control characters (newlines stay): what is not becomes U+FFFD.
std::string clean_utf8(std::string_view text);

/// What stands in a node: a title, details, and the shape, one a line.
std::string node_label(const GraphNode& node);

/// 1536 as "1.5 KB".
std::string bytes_text(std::size_t bytes);

/// A shape as "32 x 128"; "scalar".
std::string shape_text(const Shape& shape);

}  // namespace rw::detail

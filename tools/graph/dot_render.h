#pragma once

#include <string>

#include <rewind/tools/graph/dot.h>

namespace rw {

/// More nodes than this are not handed to Graphviz, whose time grows with their square.
inline constexpr std::size_t max_layout_nodes = 1500;

/// Lays a DOT file out with Graphviz. `format` is "svg" or "png". Throws Error when the graph has more than
/// `max_layout_nodes` nodes (fold it, or draw a window), when `path` cannot be written, and when Graphviz is missing or
/// fails; the DOT file stays.
void render_dot(const std::string& dot_path, std::size_t nodes, const std::string& format, const std::string& path);

/// The same from a DOT text to the bytes of the picture.
std::string laid_out(const std::string& dot, std::size_t nodes, const std::string& format);

/// The same to a string, <svg> to </svg>, of a DOT text.
std::string dot_to_svg(const std::string& dot, std::size_t nodes);

}  // namespace rw

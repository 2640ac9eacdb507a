#include <fmt/format.h>

#include <rewind/core/shown.h>
#include <rewind/tools/graph/dot_text.h>

namespace rw::detail {
namespace {

constexpr std::string_view replacement = "\xef\xbf\xbd";

}  // namespace

std::string clean_utf8(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const std::size_t n = utf8_length(text);
    const bool control = n == 1 && static_cast<unsigned char>(text[0]) < 0x20 && text[0] != '\n';
    if (n == 0 || control || text[0] == 0x7f) {
      out += replacement;
    } else {
      out += text.substr(0, n);
    }
    text.remove_prefix(n == 0 ? 1 : n);
  }
  return out;
}

std::string dot_escape(std::string_view text) {
  std::string out;
  for (char c : clean_utf8(text)) {
    switch (c) {
      case '"': out += "\\\""; break;
      case '\\': out += "\\\\"; break;
      case '\n': out += "\\n"; break;
      case '&': out += "&amp;"; break;
      default: out += c;
    }
  }
  return out;
}

std::string shape_text(const Shape& shape) {
  if (shape.rank() == 0) return "scalar";
  std::string out;
  for (Index n : shape) out += (out.empty() ? "" : " x ") + std::to_string(n);
  return out;
}

std::string bytes_text(std::size_t bytes) {
  if (bytes < 1024) return fmt::format("{} B", bytes);
  double n = static_cast<double>(bytes) / 1024;
  for (const char* unit : {"KB", "MB", "GB"}) {
    if (n < 1024) return fmt::format("{:.3g} {}", n, unit);
    n /= 1024;
  }
  return fmt::format("{:.3g} TB", n);
}

std::string node_label(const GraphNode& node) {
  const std::string shape = node.node == no_node ? "" : "\n" + shape_text(node.shape);
  if (node.role == GraphRole::parameter) return (node.name.empty() ? std::string("(unnamed)") : node.name) + shape;
  // A number that the program wrote, as the 1 of "1 - z".
  if (node.role == GraphRole::constant && !node.attributes.empty())
    return node.attributes + (node.shape.rank() == 0 ? "" : shape);
  const std::string op = node.op == "variable" ? "input" : node.op;
  return op + (node.attributes.empty() ? "" : "\n" + node.attributes) + shape;
}

}  // namespace rw::detail

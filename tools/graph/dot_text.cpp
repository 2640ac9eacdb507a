#include <fmt/format.h>

#include <rewind/tools/graph/dot_text.h>

namespace rw::detail {
namespace {

constexpr std::string_view replacement = "\xef\xbf\xbd";

/// Length of the valid UTF-8 sequence at the front of `s`; 0 when there is none.
std::size_t utf8_length(std::string_view s) {
  const auto byte = [&](std::size_t i) { return i < s.size() ? static_cast<unsigned char>(s[i]) : 0u; };
  const auto tail = [&](std::size_t i) { return (byte(i) & 0xc0u) == 0x80u; };
  const unsigned b = byte(0);
  if (b < 0x80) return 1;
  if (b >= 0xc2 && b < 0xe0) return tail(1) ? 2 : 0;
  if (b >= 0xe0 && b < 0xf0) {
    const bool too_long = b == 0xe0 && byte(1) < 0xa0, surrogate = b == 0xed && byte(1) >= 0xa0;
    return tail(1) && tail(2) && !too_long && !surrogate ? 3 : 0;
  }
  if (b >= 0xf0 && b < 0xf5) {
    const bool too_long = b == 0xf0 && byte(1) < 0x90, too_large = b == 0xf4 && byte(1) >= 0x90;
    return tail(1) && tail(2) && tail(3) && !too_long && !too_large ? 4 : 0;
  }
  return 0;
}

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

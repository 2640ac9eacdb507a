#include <fmt/format.h>

#include <rewind/core/shown.h>

namespace rw {
namespace detail {

std::size_t utf8_length(std::string_view s) {
  const auto byte = [&](std::size_t i) { return i < s.size() ? static_cast<unsigned char>(s[i]) : 0u; };
  const auto tail = [&](std::size_t i) { return (byte(i) & 0xc0u) == 0x80u; };
  const unsigned b = byte(0);
  if (s.empty()) return 0;
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

}  // namespace detail

namespace {

// A sequence of UTF-8 that a terminal obeys, or that hides what stands around it: C0 and C1 controls, marks of
// direction and of zero width, separators of lines.
bool obeyed(std::string_view s) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(s[i]); };
  if (s.size() == 1) return byte(0) < 0x20 || byte(0) == 0x7f;
  if (s.size() == 2) return byte(0) == 0xc2 && byte(1) < 0xa0;
  if (s.size() != 3) return false;
  if (byte(0) == 0xef) return byte(1) == 0xbb && byte(2) == 0xbf;  // U+FEFF
  if (byte(0) != 0xe2) return false;
  if (byte(1) == 0x80) return (byte(2) >= 0x8b && byte(2) <= 0x8f) || (byte(2) >= 0xa8 && byte(2) <= 0xae);
  return byte(1) == 0x81 && byte(2) >= 0xa0 && byte(2) <= 0xaf;  // U+2060 .. U+206F
}

}  // namespace

bool is_utf8(std::string_view text) {
  while (!text.empty()) {
    const std::size_t n = detail::utf8_length(text);
    if (n == 0) return false;
    text.remove_prefix(n);
  }
  return true;
}

std::string shown(std::string_view text, std::size_t most) {
  std::string out;
  while (!text.empty()) {
    const std::size_t n = detail::utf8_length(text);
    const std::string_view next = text.substr(0, n == 0 ? 1 : n);
    std::string piece(next);
    if (n == 0 || obeyed(next)) {
      piece.clear();
      for (const char c : next) piece += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
    }
    if (out.size() + piece.size() > most) return out + "...";
    out += piece;
    text.remove_prefix(next.size());
  }
  return out;
}

}  // namespace rw

#include <set>

#include <fmt/format.h>

#include <rewind/core/error.h>
#include <rewind/models/text/text.h>

namespace rw {

namespace {

constexpr std::string_view byte_order_mark = "\xEF\xBB\xBF";  // U+FEFF

/// How many bytes the sequence that begins with `lead` has, and what the byte after it may be; 0: `lead` begins none.
struct Sequence {
  int length;
  unsigned char second_from, second_to;
};

Sequence sequence_of(unsigned char lead) {
  if (lead < 0x80) return {1, 0, 0};
  if (lead < 0xC2) return {0, 0, 0};  // a continuation, or an overlong two-byte form
  if (lead < 0xE0) return {2, 0x80, 0xBF};
  if (lead == 0xE0) return {3, 0xA0, 0xBF};  // below: overlong
  if (lead == 0xED) return {3, 0x80, 0x9F};  // above: surrogates
  if (lead < 0xF0) return {3, 0x80, 0xBF};
  if (lead == 0xF0) return {4, 0x90, 0xBF};  // below: overlong
  if (lead < 0xF4) return {4, 0x80, 0xBF};
  if (lead == 0xF4) return {4, 0x80, 0x8F};  // above: beyond U+10FFFF
  return {0, 0, 0};
}

[[noreturn]] void throw_invalid(std::string_view what, std::size_t offset, std::string_view reason) {
  throw Error(
      fmt::format("{}: invalid UTF-8 at byte offset {} ({}); convert the text to UTF-8 first", what, offset, reason));
}

bool is_character(char32_t c) { return c <= 0x10FFFF && (c < 0xD800 || c > 0xDFFF); }

void append_utf8(std::string& out, char32_t c) {
  const auto put = [&out](char32_t byte) { out.push_back(static_cast<char>(byte)); };
  const auto tail = [&](int shift) { put(0x80 | ((c >> shift) & 0x3F)); };
  if (!is_character(c))
    throw Error(fmt::format("U+{:04X} is no character: it has no UTF-8 form", static_cast<std::uint32_t>(c)));
  if (c < 0x80) {
    put(c);
  } else if (c < 0x800) {
    put(0xC0 | (c >> 6));
    tail(0);
  } else if (c < 0x10000) {
    put(0xE0 | (c >> 12));
    tail(6);
    tail(0);
  } else {
    put(0xF0 | (c >> 18));
    tail(12);
    tail(6);
    tail(0);
  }
}

}  // namespace

std::u32string decode_utf8(std::string_view bytes, std::string_view what) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(bytes[i]); };
  std::u32string out;
  out.reserve(bytes.size());
  for (std::size_t at = bytes.starts_with(byte_order_mark) ? byte_order_mark.size() : 0; at < bytes.size();) {
    const auto [length, from, to] = sequence_of(byte(at));
    if (length == 0) throw_invalid(what, at, fmt::format("byte 0x{:02x} begins no character", byte(at)));
    char32_t c = length == 1 ? byte(at) : byte(at) & (0x7F >> length);
    for (int i = 1; i < length; ++i) {
      const std::size_t next = at + static_cast<std::size_t>(i);
      if (next == bytes.size()) throw_invalid(what, at, "the last character is cut off");
      const bool fits = i == 1 ? byte(next) >= from && byte(next) <= to : (byte(next) & 0xC0) == 0x80;
      if (!fits) throw_invalid(what, next, fmt::format("byte 0x{:02x} does not continue the character", byte(next)));
      c = (c << 6) | (byte(next) & 0x3F);
    }
    out.push_back(c);
    at += static_cast<std::size_t>(length);
  }
  return out;
}

std::string encode_utf8(std::u32string_view text) {
  std::string out;
  out.reserve(text.size());
  for (char32_t c : text) append_utf8(out, c);
  return out;
}

std::string printable(char32_t c) {
  const bool has_shape = (c > 0x20 && c < 0x7F) || (c > 0xA0 && c != 0xAD && c < 0x2000) || (c > 0x2070 && c < 0xD800);
  return has_shape ? "'" + encode_utf8({&c, 1}) + "'" : fmt::format("U+{:04X}", static_cast<std::uint32_t>(c));
}

Vocabulary Vocabulary::of(std::u32string_view text) {
  const std::set<char32_t> characters(text.begin(), text.end());
  return Vocabulary(std::u32string(characters.begin(), characters.end()));
}

Vocabulary::Vocabulary(std::u32string characters) : characters_(std::move(characters)) {
  for (char32_t c : characters_)
    if (!numbers_.emplace(c, static_cast<std::int32_t>(numbers_.size())).second)
      throw Error("a vocabulary has the character " + printable(c) + " twice");
}

Index Vocabulary::find(char32_t character) const {
  const auto found = numbers_.find(character);
  return found == numbers_.end() ? -1 : found->second;
}

std::vector<std::int32_t> Vocabulary::encode(std::u32string_view text, std::string_view what) const {
  std::vector<std::int32_t> out;
  out.reserve(text.size());
  std::set<char32_t> missing;
  for (char32_t c : text) {
    const Index number = find(c);
    if (number < 0) missing.insert(c);
    out.push_back(static_cast<std::int32_t>(number));
  }
  if (missing.empty()) return out;
  constexpr std::size_t most = 8;
  std::string list;
  for (std::size_t listed = 0; char32_t c : missing) {
    if (listed++ == most) {
      list += fmt::format(" and {} more", missing.size() - most);
      break;
    }
    list += (list.empty() ? "" : ", ") + printable(c);
  }
  throw Error(fmt::format("{}: the vocabulary of {} characters lacks {}", what, size(), list));
}

std::u32string Vocabulary::decode(std::span<const std::int32_t> numbers) const {
  std::u32string out;
  out.reserve(numbers.size());
  for (std::int32_t n : numbers) {
    if (n < 0 || n >= size()) throw Error(fmt::format("no character has the number {}: there are {}", n, size()));
    out.push_back(characters_[static_cast<std::size_t>(n)]);
  }
  return out;
}

}  // namespace rw

#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include <rewind/core/dtype.h>

namespace rw {

/// The code points of UTF-8 text. Throws Error with the byte offset of the first byte that does not belong: a stray
/// continuation byte, a sequence that is cut off or longer than it needs to be, a surrogate, or a value above U+10FFFF
/// (Unicode 15, table 3-7). `what` names the text in the message.
std::u32string decode_utf8(std::string_view bytes, std::string_view what = "text");

/// The UTF-8 bytes of code points. Throws Error for a surrogate or a value above U+10FFFF.
std::string encode_utf8(std::u32string_view text);

/// A character as a person can read it in a message: 'a', or U+000A for one that has no shape on paper.
std::string printable(char32_t character);

/// The distinct characters of a text, each with a number: sorted by code point, so that the same text always gives the
/// same numbers.
class Vocabulary {
 public:
  Vocabulary() = default;
  /// The characters that occur in `text`.
  static Vocabulary of(std::u32string_view text);
  /// Exactly these, in this order: what a model file stores. Throws Error when one occurs twice.
  explicit Vocabulary(std::u32string characters);

  /// Number of characters.
  Index size() const { return static_cast<Index>(characters_.size()); }
  /// Its characters in order.
  const std::u32string& characters() const { return characters_; }
  /// The number of a character, or -1.
  Index find(char32_t character) const;
  /// The numbers of a text's characters. Throws Error that lists the characters which the vocabulary lacks; `what`
  /// names the text in the message.
  std::vector<std::int32_t> encode(std::u32string_view text, std::string_view what = "text") const;
  /// The characters of numbers. Throws Error for a number outside 0 .. size() - 1.
  std::u32string decode(std::span<const std::int32_t> numbers) const;

  /// The same characters in the same order.
  bool operator==(const Vocabulary& other) const { return characters_ == other.characters_; }

 private:
  std::u32string characters_;
  std::unordered_map<char32_t, std::int32_t> numbers_;
};

}  // namespace rw

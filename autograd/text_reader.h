#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include <rewind/core/shape.h>

namespace rw {

/// Reads one line of text, piece by piece. What is not there is an Error that says what was expected and what comes
/// instead. Blanks before a piece are skipped.
class TextReader {
 public:
  /// `text` must outlive the reader.
  explicit TextReader(std::string_view text) : rest_(text) {}

  /// Whether nothing is left but blanks.
  bool done();
  /// Whether `token` comes next, without taking it.
  bool sees(std::string_view token);
  /// Takes `token` if it comes next.
  bool take(std::string_view token);
  /// Takes `token`; throws Error when it does not come next.
  void expect(std::string_view token);
  /// Takes a name: a letter or _, then letters, digits and _. Empty, and nothing is taken, when none comes next.
  std::string_view take_name();
  /// The same, or throws Error that says that `what` was expected.
  std::string_view name(std::string_view what);
  /// Text in double quotes, with \" \\ and \n as written by `write_quoted`.
  std::string quoted();

  /// A whole number.
  std::int64_t integer();
  /// A whole number from 0 to `most`.
  std::uint64_t natural(std::uint64_t most);
  /// As `write_number` writes them, by bits: also inf, nan and nan(7ff8000000000001).
  float number32();
  /// The same of 64 bits.
  double number64();
  /// "(3, 4)".
  Shape shape();

  /// Throws Error: "expected <what> at '<what comes next>'".
  [[noreturn]] void fail(std::string_view what);

 private:
  void skip_blanks();
  template <class T, class Bits>
  T real();
  std::string_view rest_;
};

/// Appends numbers so that the same bits are read again, in the fewest digits.
void write_number(std::string& out, float x);
void write_number(std::string& out, double x);
/// Appends text in double quotes.
void write_quoted(std::string& out, std::string_view text);

}  // namespace rw

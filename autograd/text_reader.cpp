#include <bit>
#include <charconv>
#include <cmath>
#include <limits>

#include <fmt/format.h>

#include <rewind/autograd/characters.h>
#include <rewind/autograd/text_reader.h>
#include <rewind/core/error.h>
#include <rewind/core/shown.h>

namespace rw {
namespace {

using rw::detail::continues_name;
using rw::detail::starts_name;

template <class T>
constexpr bool is_double = sizeof(T) == 8;

template <class T>
void write_real(std::string& out, T x) {
  using Bits = std::conditional_t<is_double<T>, std::uint64_t, std::uint32_t>;
  const auto bits = std::bit_cast<Bits>(x);
  if (!std::isnan(x))
    out += fmt::format("{}", x);
  else if (bits == std::bit_cast<Bits>(std::numeric_limits<T>::quiet_NaN()))
    out += "nan";
  else
    out += fmt::format("nan({:x})", bits);
}

}  // namespace

void TextReader::skip_blanks() {
  while (!rest_.empty() && (rest_[0] == ' ' || rest_[0] == '\t' || rest_[0] == '\r')) rest_.remove_prefix(1);
}

bool TextReader::done() {
  skip_blanks();
  return rest_.empty();
}

// A name is taken whole: "for" does not begin with "fo".
bool TextReader::sees(std::string_view token) {
  skip_blanks();
  if (!rest_.starts_with(token)) return false;
  return token.empty() || !continues_name(token.back()) || rest_.size() == token.size() ||
         !continues_name(rest_[token.size()]);
}

bool TextReader::take(std::string_view token) {
  if (!sees(token)) return false;
  rest_.remove_prefix(token.size());
  return true;
}

void TextReader::expect(std::string_view token) {
  if (!take(token)) fail(fmt::format("'{}'", token));
}

std::string_view TextReader::take_name() {
  skip_blanks();
  std::size_t n = 0;
  if (!rest_.empty() && starts_name(rest_[0]))
    while (n < rest_.size() && continues_name(rest_[n])) ++n;
  const std::string_view name = rest_.substr(0, n);
  rest_.remove_prefix(n);
  return name;
}

std::string_view TextReader::name(std::string_view what) {
  const std::string_view name = take_name();
  if (name.empty()) fail(what);
  return name;
}

std::string TextReader::quoted() {
  if (!sees("\"")) fail("text in double quotes");
  std::string out;
  for (std::size_t i = 1; i < rest_.size(); ++i) {
    const char c = rest_[i];
    if (c == '"') {
      rest_.remove_prefix(i + 1);
      return out;
    }
    if (c == '\\' && i + 1 < rest_.size())
      out += rest_[++i] == 'n' ? '\n' : rest_[i];
    else
      out += c;
  }
  fail("the closing double quote of");
}

std::int64_t TextReader::integer() {
  skip_blanks();
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(rest_.data(), rest_.data() + rest_.size(), value);
  if (error != std::errc()) fail("an integer");
  rest_.remove_prefix(static_cast<std::size_t>(end - rest_.data()));
  return value;
}

std::uint64_t TextReader::natural(std::uint64_t most) {
  skip_blanks();
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(rest_.data(), rest_.data() + rest_.size(), value);
  if (error != std::errc() || value > most) fail(fmt::format("a number from 0 to {}", most));
  rest_.remove_prefix(static_cast<std::size_t>(end - rest_.data()));
  return value;
}

template <class T, class Bits>
T TextReader::real() {
  skip_blanks();
  if (take("nan(")) {
    Bits bits = 0;
    const auto [end, error] = std::from_chars(rest_.data(), rest_.data() + rest_.size(), bits, 16);
    if (error != std::errc() || !std::isnan(std::bit_cast<T>(bits))) fail("the bits of a nan");
    rest_.remove_prefix(static_cast<std::size_t>(end - rest_.data()));
    expect(")");
    return std::bit_cast<T>(bits);
  }
  if (take("nan")) return std::numeric_limits<T>::quiet_NaN();
  if (take("inf")) return std::numeric_limits<T>::infinity();
  if (take("-inf")) return -std::numeric_limits<T>::infinity();
  T value = 0;
  const auto [end, error] = std::from_chars(rest_.data(), rest_.data() + rest_.size(), value);
  if (error != std::errc()) fail(is_double<T> ? "a number" : "a number that an f32 can hold");
  rest_.remove_prefix(static_cast<std::size_t>(end - rest_.data()));
  return value;
}

float TextReader::number32() { return real<float, std::uint32_t>(); }
double TextReader::number64() { return real<double, std::uint64_t>(); }

Shape TextReader::shape() {
  if (!take("(")) fail("a shape, as (3, 4)");
  Index lengths[max_rank];
  std::size_t rank = 0;
  while (!take(")")) {
    if (rank > 0) expect(",");
    if (rank == max_rank) fail(fmt::format("at most {} axes", max_rank));
    lengths[rank++] = integer();
  }
  return Shape(std::span<const Index>(lengths, rank));
}

void TextReader::fail(std::string_view what) {
  skip_blanks();
  throw Error(rest_.empty() ? fmt::format("expected {} at the end of the line", what)
                            : fmt::format("expected {} at '{}'", what, shown(rest_, 33)));
}

void write_number(std::string& out, float x) { write_real(out, x); }
void write_number(std::string& out, double x) { write_real(out, x); }

void write_quoted(std::string& out, std::string_view text) {
  out += '"';
  for (char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    if (c == '\n')
      out += "\\n";
    else
      out += c;
  }
  out += '"';
}

}  // namespace rw

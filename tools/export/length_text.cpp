#include <utility>

#include <fmt/format.h>

#include <rewind/tools/export/length_text.h>

namespace rw::detail {
namespace {

/// A number, and the lengths that are none.
std::pair<Index, std::string> factors(std::span<const Length> lengths) {
  std::pair<Index, std::string> out{1, ""};
  for (Length l : lengths) {
    if (l.is_number() || l.more == 0) out.first *= l.factor + l.more;
    if (l.is_number()) continue;
    if (l.more == 0) l.factor = 1;
    out.second += (out.second.empty() ? "" : " * ") + text_of(l);
  }
  return out;
}

std::string term(Index number, const std::string& lengths) {
  if (lengths.empty()) return fmt::format("{}", number);
  return number == 1 ? lengths : fmt::format("{} * {}", number, lengths);
}

}  // namespace

Length of_one_sequence(Length l) {
  l.batch = false;
  if (!l.steps) l = {.factor = l.factor + l.more};
  return l;
}

Lengths of_one_sequence(Lengths lengths) {
  for (Length& l : lengths) l = of_one_sequence(l);
  return lengths;
}

std::string text_of(const Length& l) {
  if (l.is_number()) return fmt::format("{}", l.factor + l.more);
  const std::string times = l.factor == 1 ? "n" : fmt::format("{} * n", l.factor);
  if (l.more == 0) return l.factor == 1 ? times : "(" + times + ")";
  return fmt::format("({} {} {})", times, l.more < 0 ? "-" : "+", std::abs(l.more));
}

std::string product_text(std::span<const Length> lengths) {
  const auto [number, others] = factors(lengths);
  return number == 0 ? "0" : term(number, others);
}

std::string position_text(const std::vector<std::string>& along, const Lengths& shape) {
  std::string out;
  for (std::size_t a = 0; a < shape.size(); ++a) {
    if (!out.empty() && shape[a] != Length{.factor = 1}) out = fmt::format("({}) * {}", out, text_of(shape[a]));
    if (!along[a].empty()) out += (out.empty() ? "" : " + ") + along[a];
  }
  return out.empty() ? "0" : out;
}

void SizeSum::add(std::span<const Length> size) {
  const auto [number, others] = factors(size);
  terms_[others] += number;
}

std::string SizeSum::text() const {
  std::string out;
  for (const auto& [lengths, number] : terms_)
    if (number != 0) out += (out.empty() ? "" : " + ") + term(number, lengths);
  return out.empty() ? "0" : out;
}

}  // namespace rw::detail

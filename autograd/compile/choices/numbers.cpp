#include <algorithm>
#include <charconv>
#include <cmath>

#include <fmt/format.h>

#include <rewind/autograd/compile/choices/numbers.h>
#include <rewind/core/error.h>
#include <rewind/core/shown.h>

namespace rw::ir {
namespace {

[[noreturn]] void fail(std::string_view token, const std::string& why) {
  throw Error(fmt::format("'{}' {}", shown(token), why));
}

void read_number(std::string_view token, const NamedNumber& to) {
  const std::string_view digits = token.substr(std::min(to.name.size() + 1, token.size()));
  double number = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  if (error != std::errc() || end != digits.data() + digits.size()) fail(token, "is not name=number");
  if (!(number >= to.least && number <= to.most)) fail(token, fmt::format("is not from {} to {}", to.least, to.most));
  if (to.whole && number != std::floor(number)) fail(token, "is not a whole number");
  *to.number = number;
}

}  // namespace

std::string numbers_text(std::span<const NamedNumber> numbers) {
  std::string out;
  for (const NamedNumber& n : numbers) out += fmt::format("{}{}={}", out.empty() ? "" : " ", n.name, *n.number);
  return out;
}

void read_numbers(std::string_view text, std::span<const NamedNumber> numbers) {
  std::vector<bool> seen(numbers.size());
  while (true) {
    text.remove_prefix(std::min(text.find_first_not_of(' '), text.size()));
    if (text.empty()) return;
    const std::string_view token = text.substr(0, text.find(' ')), name = token.substr(0, token.find('='));
    text.remove_prefix(token.size());
    const auto known =
        std::find_if(numbers.begin(), numbers.end(), [&](const NamedNumber& n) { return n.name == name; });
    if (known == numbers.end()) fail(token, "is none of the names that this version knows");
    const auto at = static_cast<std::size_t>(known - numbers.begin());
    if (seen[at]) fail(token, "is there twice");
    seen[at] = true;
    read_number(token, *known);
  }
}

}  // namespace rw::ir

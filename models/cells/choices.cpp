#include <algorithm>
#include <charconv>
#include <cmath>

#include <fmt/format.h>

#include <rewind/models/cells/choices.h>

namespace rw::detail {
namespace {

std::vector<std::string_view> split_at(char separator, std::string_view text) {
  std::vector<std::string_view> parts;
  for (std::size_t end = text.find(separator); end != std::string_view::npos; end = text.find(separator)) {
    parts.push_back(text.substr(0, end));
    text.remove_prefix(end + 1);
  }
  parts.push_back(text);
  return parts;
}

/// "zoneout=" of "zoneout=0.1"; all of an option without numbers.
std::string_view key_of(std::string_view option) {
  return option.substr(0, std::min(option.find('='), option.size() - 1) + 1);
}

bool contains(std::span<const std::string_view> list, std::string_view what) {
  return std::find(list.begin(), list.end(), what) != list.end();
}

}  // namespace

std::string listed(std::span<const std::string_view> names) {
  std::string list;
  for (std::string_view name : names) list += (list.empty() ? "" : ", ") + std::string(name);
  return list;
}

CellChoices::CellChoices(std::string_view text) : text_(text), parts_(split_at('+', text)) {}

bool CellChoices::has(std::string_view option) const {
  return std::find(parts_.begin() + 1, parts_.end(), option) != parts_.end();
}

std::vector<double> CellChoices::numbers(std::string_view option) const {
  std::vector<double> all;
  for (std::string_view part : parts_) {
    if (!part.starts_with(option) || !part.substr(option.size()).starts_with('=')) continue;
    for (std::string_view number : split_at('/', part.substr(option.size() + 1))) all.push_back(parsed(number));
  }
  return all;
}

double CellChoices::number(std::string_view option) const {
  const std::vector<double> all = numbers(option);
  if (all.size() > 1) throw error(fmt::format("{} is one number, not {}", option, all.size()));
  return all.empty() ? 0 : all[0];
}

Index CellChoices::count(std::string_view option) const {
  const double n = number(option);
  if (n != std::floor(n) || std::abs(n) > 1e9) throw error(fmt::format("{} is a whole number, not {}", option, n));
  return static_cast<Index>(n);
}

void CellChoices::check(std::span<const std::string_view> own, std::span<const std::string_view> common) const {
  std::vector<std::string_view> seen;
  for (std::size_t i = 1; i < parts_.size(); ++i) {
    const std::string_view key = parts_[i].empty() ? parts_[i] : key_of(parts_[i]);
    if (!contains(own, key) && !contains(common, key))
      throw error(fmt::format("there is no option '{}'; of its own {} has {}, and every cell {}", parts_[i], name(),
                              own.empty() ? "none" : listed(own), listed(common)));
    if (contains(seen, key)) throw error(fmt::format("'{}' is there twice", key));
    if (key.ends_with('=')) numbers(key.substr(0, key.size() - 1));
    seen.push_back(key);
  }
}

double CellChoices::parsed(std::string_view number) const {
  double value = 0;
  const auto [end, code] = std::from_chars(number.data(), number.data() + number.size(), value);
  if (code != std::errc() || end != number.data() + number.size() || !std::isfinite(value))
    throw error(fmt::format("'{}' is no number", number));
  return value;
}

Error CellChoices::error(const std::string& reason) const { return Error(fmt::format("cell '{}': {}", text_, reason)); }

}  // namespace rw::detail

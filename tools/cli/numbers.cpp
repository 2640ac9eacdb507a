#include <charconv>
#include <cstdint>
#include <string>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <rewind/core/error.h>
#include <rewind/tools/cli/numbers.h>

namespace rw::cli {
namespace {

template <class T>
std::string complaint(const std::string& text) {
  T value = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error == std::errc::result_out_of_range) return text + " is too large";
  if (error == std::errc() && stop == end) return {};
  return text + (std::is_signed_v<T> ? " is not a whole number" : " is not a whole number of 0 or more");
}

}  // namespace

void need_count(const char* option, Index value, Index least, Index most) {
  if (value < least) throw Error(fmt::format("{} is {}: it must be at least {}", option, value, least));
  if (value > most) throw Error(fmt::format("{} is {}: it must be at most {}", option, value, most));
}

void check_whole_numbers(CLI::App& rewind) {
  for (CLI::App* app : rewind.get_subcommands(nullptr))
    for (CLI::Option* option : app->get_options()) {
      const std::string type = option->get_type_name();
      if (type.starts_with("INT")) option->check(CLI::Validator(complaint<std::int64_t>, ""));
      if (type.starts_with("UINT")) option->check(CLI::Validator(complaint<std::uint64_t>, ""));
    }
}

}  // namespace rw::cli

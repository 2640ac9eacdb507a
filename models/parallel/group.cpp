#include <algorithm>
#include <cstdint>

#include <fmt/format.h>

#include <rewind/core/error.h>
#include <rewind/core/shown.h>
#include <rewind/models/parallel/group.h>

namespace rw {
namespace {

std::string process(int rank, const Group& group) { return fmt::format("process {} of {}", rank, group.size()); }

}  // namespace

void Alone::exchange(std::span<const std::string_view> out, std::span<const std::span<char>> in) {
  std::copy(out[0].begin(), out[0].end(), in[0].begin());
}

Group& alone() {
  static Alone group;
  return group;
}

std::vector<std::string> gather(Group& group, std::string_view mine) {
  const std::vector<std::uint64_t> lengths = gather_values<std::uint64_t>(group, mine.size());
  std::vector<std::string> all;
  for (const std::uint64_t length : lengths) all.emplace_back(length, '\0');
  const std::vector<std::string_view> out(all.size(), mine);
  group.exchange(out, std::vector<std::span<char>>(all.begin(), all.end()));
  return all;
}

void throw_errors_of_any(Group& group, const std::optional<std::string>& mine) {
  const std::vector<char> failed = gather_values<char>(group, mine.has_value() ? 1 : 0);
  if (std::find(failed.begin(), failed.end(), 1) == failed.end()) return;
  const std::vector<std::string> texts = gather(group, mine.value_or(""));
  const auto first = static_cast<std::size_t>(std::find(failed.begin(), failed.end(), 1) - failed.begin());
  if (group.size() == 1) throw GroupError(texts[0]);
  throw GroupError(process(static_cast<int>(first), group) + ": " + texts[first]);
}

void require_same(Group& group, std::string_view what, std::string_view mine) {
  const std::vector<std::string> all = gather(group, mine);
  for (std::size_t r = 1; r < all.size(); ++r)
    if (all[r] != all[0])
      throw GroupError(fmt::format("{} has another {}, '{}', than process 0, '{}': they must be the same",
                                   process(static_cast<int>(r), group), what, shown(all[r], 200), shown(all[0], 200)));
}

}  // namespace rw

#include <algorithm>
#include <cstdint>

#include <fmt/format.h>

#include <rewind/core/error.h>
#include <rewind/core/shown.h>
#include <rewind/models/parallel/group.h>

namespace rw {
namespace {

std::string process(int rank, const Group& group) { return fmt::format("process {} of {}", rank, group.size()); }

// As much of a long text as shows what it has from place `at` on, where it differs from another.
std::string part_from(std::string_view text, std::size_t at) {
  constexpr std::size_t most = 80, before = 20;
  if (text.size() <= most) return shown(text, most);
  const std::size_t begin = at > before ? at - before : 0;
  const std::string_view part = text.substr(std::min(begin, text.size()), most);
  return (begin > 0 ? "..." : "") + shown(part, most) + (begin + most < text.size() ? "..." : "");
}

class Nothing final : public Transfer {
 public:
  void wait() override {}
};

}  // namespace

void Group::exchange(std::span<const std::string_view> out, std::span<const std::span<char>> in) {
  const auto mine = static_cast<std::size_t>(rank());
  std::copy(out[mine].begin(), out[mine].end(), in[mine].begin());
  if (size() == 1) return;
  std::vector<Outgoing> outgoing;
  std::vector<Incoming> incoming;
  for (int k = 1; k < size(); ++k) {  // each begins with another, so that nobody is everybody's first
    const int other = (rank() + k) % size();
    outgoing.push_back({other, out[static_cast<std::size_t>(other)]});
    incoming.push_back({other, in[static_cast<std::size_t>(other)]});
  }
  start(outgoing, incoming, true)->wait();
}

std::unique_ptr<Transfer> Group::begin(std::span<const Outgoing> out, std::span<const Incoming> in) {
  return start(out, in, false);
}

std::unique_ptr<Transfer> Alone::start(std::span<const Outgoing>, std::span<const Incoming>, bool) {
  return std::make_unique<Nothing>();
}

Group& alone() {
  static Alone group;
  return group;
}

std::vector<std::string> gather(Group& group, std::string_view mine) {
  const std::vector<std::uint64_t> lengths = gather_values<std::uint64_t>(group, mine.size());
  std::vector<std::string> all;
  all.reserve(lengths.size());
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
  for (std::size_t r = 1; r < all.size(); ++r) {
    if (all[r] == all[0]) continue;
    const auto differ = std::mismatch(all[0].begin(), all[0].end(), all[r].begin(), all[r].end());
    const auto at = static_cast<std::size_t>(differ.first - all[0].begin());
    throw GroupError(fmt::format("{} has another {}, '{}', than process 0, '{}': they must be the same",
                                 process(static_cast<int>(r), group), what, part_from(all[r], at),
                                 part_from(all[0], at)));
  }
}

}  // namespace rw

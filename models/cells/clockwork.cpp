#include <algorithm>
#include <functional>
#include <span>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <rewind/core/error.h>
#include <rewind/models/cells/clockwork.h>
#include <rewind/models/inline_vector.h>
#include <rewind/ops/activation.h>
#include <rewind/ops/arithmetic.h>
#include <rewind/ops/matmul.h>
#include <rewind/ops/view.h>

namespace rw {
namespace {

/// Element (i, j) of R carries group(i) to group(j): 1 where the first is the slower or the same.
Array connections(Index hidden, Index groups) {
  Array mask({hidden, hidden});
  const Index width = hidden / groups;
  for (Index i = 0; i < hidden; ++i)
    for (Index j = 0; j < hidden; ++j) mask.set({i, j}, i / width >= j / width ? 1 : 0);
  return mask;
}

const std::vector<Index>& checked(const std::vector<Index>& periods, Index hidden) {
  const bool rising = std::adjacent_find(periods.begin(), periods.end(), std::greater_equal<>()) == periods.end();
  if (periods.empty() || periods[0] < 1 || !rising)
    throw Error(fmt::format("clockwork: periods {}: they must be 1 or more, and rising", periods));
  if (hidden % static_cast<Index>(periods.size()) != 0)
    throw Error(fmt::format("clockwork: {} groups do not divide a hidden size of {}", periods.size(), hidden));
  return periods;
}

}  // namespace

ClockworkCell::ClockworkCell(Index in, Index hidden, Rng& rng, std::vector<Index> periods, const CellOptions& options)
    : GatedCell("clockwork", {.in = in, .hidden = hidden, .gates = 1, .fed_back = hidden}, rng, options),
      periods_(checked(periods, hidden)),
      options_(options),
      mask_(buffer("mask", connections(hidden, static_cast<Index>(periods.size())))) {}

ClockworkCell::State ClockworkCell::step_seeing(Tensor xw, const State& s, Tensor seen, Index t) const {
  // Periods need not divide each other: each group asks for itself.
  const Index width = hidden_ / static_cast<Index>(periods_.size());
  const Tensor R = xw.tape().leaf(R_) * mask_;
  InlineVector<Tensor, 8> groups;
  for (std::size_t g = 0; g < periods_.size(); ++g) {
    const Index from = static_cast<Index>(g) * width;
    if (t % periods_[g] != 0) {
      groups.push_back(slice(s.h, -1, from, width));
      continue;
    }
    const Tensor a = slice(xw, -1, from, width) + matmul(seen, slice(R, -1, from, width));
    groups.push_back(tanh(br_ != nullptr ? a + slice(a.tape().leaf(*br_), 0, from, width) : a));
  }
  return {groups.size() == 1 ? groups[0] : concat(std::span<const Tensor>(groups.data(), groups.size()), -1)};
}

ClockworkCell ClockworkCell::clone() const {
  Rng unused(0);
  return cloned(ClockworkCell(in_, hidden_, unused, periods_, options_), *this);
}

}  // namespace rw

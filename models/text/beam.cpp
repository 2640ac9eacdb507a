#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

#include <fmt/format.h>

#include <rewind/core/error.h>
#include <rewind/models/text/beam.h>

namespace rw {

void check(const BeamOptions& o) {
  if (o.width < 1) throw Error(fmt::format("a beam of {}: its width must be 1 or more", o.width));
  if (o.length < 1) throw Error(fmt::format("a length of {} symbols: it must be 1 or more", o.length));
  if (!(o.length_penalty >= 0) || !std::isfinite(o.length_penalty))
    throw Error(fmt::format("the length penalty is {}: it must be a number of 0 or more", o.length_penalty));
}

namespace detail {
namespace {

double log_of_sum(std::span<const float> logits) {
  const double most = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const float x : logits) sum += std::exp(double{x} - most);
  return most + std::log(sum);
}

}  // namespace

// The likeliest extensions of every open hypothesis: no more than could be chosen.
std::vector<BeamSearch::Candidate> BeamSearch::candidates(std::span<const float> logits) const {
  const std::size_t symbols = logits.size() / open_.size();
  const auto kept = std::min(symbols, static_cast<std::size_t>(options_.width) - complete_.size());
  std::vector<Candidate> all;
  std::vector<std::size_t> order(symbols);
  for (std::size_t b = 0; b < open_.size(); ++b) {
    const auto row = logits.subspan(b * symbols, symbols);
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::partial_sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(kept), order.end(),
                      [&](std::size_t x, std::size_t y) { return row[x] != row[y] ? row[x] > row[y] : x < y; });
    const double total = log_of_sum(row);
    for (std::size_t i = 0; i < kept; ++i)
      all.push_back(
          {open_[b].log_probability + (double{row[order[i]]} - total), b, static_cast<std::int32_t>(order[i])});
  }
  std::stable_sort(all.begin(), all.end(),
                   [](const Candidate& x, const Candidate& y) { return x.log_probability > y.log_probability; });
  all.resize(std::min(all.size(), static_cast<std::size_t>(options_.width) - complete_.size()));
  return all;
}

std::vector<Index> BeamSearch::extend(std::span<const float> logits) {
  std::vector<Hypothesis> next;
  std::vector<Index> rows;
  for (const Candidate& c : candidates(logits)) {
    Hypothesis h = open_[c.from];
    h.tokens.push_back(c.token);
    h.log_probability = c.log_probability;
    if (c.token == options_.stop) {
      complete(std::move(h), true);
    } else {
      next.push_back(std::move(h));
      rows.push_back(static_cast<Index>(c.from));
    }
  }
  open_ = std::move(next);
  return rows;
}

void BeamSearch::complete(Hypothesis h, bool stopped) {
  const auto length = static_cast<double>(h.tokens.size());
  h.score = h.log_probability / std::pow((5 + length) / 6, options_.length_penalty);
  h.stopped = stopped;
  complete_.push_back(std::move(h));
}

std::vector<Hypothesis> BeamSearch::finish() {
  for (Hypothesis& h : open_) complete(std::move(h), false);
  open_.clear();
  std::stable_sort(complete_.begin(), complete_.end(),
                   [](const Hypothesis& x, const Hypothesis& y) { return x.score > y.score; });
  return std::move(complete_);
}

SavedState gather_rows(const SavedState& state, std::span<const Index> rows) {
  SavedState out;
  for (const Array& a : state) {
    Array picked(a.shape().with(0, static_cast<Index>(rows.size())), a.dtype());
    const auto bytes = static_cast<std::size_t>(a.shape().without(0).size()) * size_of(a.dtype());
    auto* to = static_cast<std::byte*>(picked.view().data);
    for (const Index row : rows) {
      if (bytes > 0)
        std::memcpy(to, static_cast<const std::byte*>(a.view().data) + static_cast<std::size_t>(row) * bytes, bytes);
      to += bytes;
    }
    out.push_back(std::move(picked));
  }
  return out;
}

}  // namespace detail

}  // namespace rw

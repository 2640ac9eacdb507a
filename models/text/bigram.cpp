#include <algorithm>
#include <cmath>
#include <limits>
#include <unordered_map>

#include <rewind/core/error.h>
#include <rewind/models/text/bigram.h>

namespace rw {

namespace {

/// Counts of characters and of pairs, sparse: a text of many scripts has thousands of characters but few pairs.
struct Counts {
  std::unordered_map<std::uint64_t, double> pairs;
  std::vector<double> first, second;
  double total = 0;
};

std::uint64_t pair_key(std::int32_t a, std::int32_t b) {
  return std::uint64_t{static_cast<std::uint32_t>(a)} << 32 | static_cast<std::uint32_t>(b);
}

Counts count(const TextData& data, Index vocabulary, Index from, Index to) {
  Counts out;
  out.first.resize(static_cast<std::size_t>(vocabulary));
  out.second.resize(static_cast<std::size_t>(vocabulary));
  for (Index n = 0; n < data.batch(); ++n) {
    const auto text = data.stream(n, from, to);
    for (std::size_t i = 0; i + 1 < text.size(); ++i) {
      ++out.pairs[pair_key(text[i], text[i + 1])];
      ++out.first[static_cast<std::size_t>(text[i])];
      ++out.second[static_cast<std::size_t>(text[i + 1])];
      ++out.total;
    }
  }
  return out;
}

}  // namespace

double bigram_loss(const TextData& data, Index vocabulary) {
  if (data.held_out_chunks() == 0) throw Error("no part of the text is held out: a bigram model cannot be scored");
  const Counts train = count(data, vocabulary, 0, data.train_chunks());
  const Counts test = count(data, vocabulary, data.train_chunks(), data.chunks());
  double best = std::numeric_limits<double>::infinity();
  for (double k = 0.25; k < 5000; k *= 2) {
    double sum = 0;
    for (const auto& [key, times] : test.pairs) {
      const auto a = static_cast<std::size_t>(key >> 32), b = static_cast<std::size_t>(key & 0xFFFFFFFF);
      const auto found = train.pairs.find(key);
      const double single = (train.second[b] + 1) / (train.total + static_cast<double>(vocabulary));
      const double pair = found == train.pairs.end() ? 0 : found->second;
      sum -= times * std::log((pair + k * single) / (train.first[a] + k));
    }
    best = std::min(best, sum / test.total);
  }
  return best;
}

}  // namespace rw

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include <fmt/format.h>

#include <rewind/core/error.h>
#include <rewind/models/text/ctc.h>

namespace rw {
namespace {

constexpr double impossible = -std::numeric_limits<double>::infinity();

using detail::at;

double log_add(double a, double b) {
  const double most = std::max(a, b);
  return most == impossible ? most : most + std::log1p(std::exp(std::min(a, b) - most));
}

/// The numbers in f64, of which none is nan.
Array checked_numbers(const char* name, const Array& log_probs, int rank, Index blank) {
  const Shape& shape = log_probs.shape();
  if (shape.rank() != rank || !is_real(log_probs.dtype()))
    throw Error(fmt::format("{}: log probabilities are reals {}, not {} {}", name, rank == 3 ? "[T, N, C]" : "[T, C]",
                            name_of(log_probs.dtype()), shape.str()));
  if (blank < 0 || blank >= shape.cols())
    throw Error(fmt::format("{}: the blank is {}: it must be one of {} classes", name, blank, shape.cols()));
  return log_probs.to(DType::f64);
}
double checked_number(const char* name, double x, Index step) {
  if (std::isnan(x)) throw Error(fmt::format("{}: a log probability of step {} is nan", name, step));
  return x;
}

/// What is known of a prefix: probabilities of the alignments that spell it and end with a blank, or with its last
/// symbol.
struct Prefix {
  double blank = impossible, symbol = impossible, language = 0;
  double total() const { return log_add(blank, symbol); }
};
using Prefixes = std::map<Tokens, Prefix>;

class PrefixSearch {
 public:
  explicit PrefixSearch(const CtcBeamOptions& options) : options_(options) { prefixes_[{}].blank = 0; }

  void step(std::span<const double> row) {
    Prefixes next;
    for (const auto& [tokens, prefix] : prefixes_) extend(tokens, prefix, row, next);
    std::erase_if(next, [](const auto& entry) { return entry.second.total() == impossible; });
    prefixes_ = std::move(next);
    const std::vector<CtcHypothesis> best = hypotheses();
    for (std::size_t i = at(options_.width); i < best.size(); ++i) prefixes_.erase(best[i].tokens);
  }

  /// Best first.
  std::vector<CtcHypothesis> hypotheses() const {
    std::vector<CtcHypothesis> out;
    for (const auto& [tokens, prefix] : prefixes_) {
      const double sound = prefix.total();
      const double score = sound + prefix.language + options_.insertion * static_cast<double>(tokens.size());
      out.push_back({tokens, sound, score});
    }
    std::stable_sort(out.begin(), out.end(),
                     [](const CtcHypothesis& a, const CtcHypothesis& b) { return a.score > b.score; });
    return out;
  }

 private:
  void extend(const Tokens& tokens, const Prefix& prefix, std::span<const double> row, Prefixes& next) const {
    const double total = prefix.total();
    for (std::size_t c = 0; c < row.size(); ++c) {
      const auto symbol = static_cast<std::int32_t>(c);
      const bool blank = symbol == options_.blank, repeated = !tokens.empty() && tokens.back() == symbol;
      if (blank || repeated) {  // the prefix stays
        Prefix& same = next.try_emplace(tokens, Prefix{.language = prefix.language}).first->second;
        if (blank) same.blank = log_add(same.blank, total + row[c]);
        if (repeated) same.symbol = log_add(same.symbol, prefix.symbol + row[c]);
      }
      const double way = (repeated ? prefix.blank : total) + row[c];
      if (blank || way == impossible) continue;
      Tokens longer = tokens;
      longer.push_back(symbol);
      const auto [place, is_new] = next.try_emplace(std::move(longer));
      if (is_new) place->second.language = prefix.language + language(tokens, symbol);
      place->second.symbol = log_add(place->second.symbol, way);
    }
  }
  double language(const Tokens& tokens, std::int32_t next) const {
    if (!options_.language_model || options_.weight == 0) return 0;  // of log 0, 0 times is nan
    const double score = options_.weight * options_.language_model(tokens, next);
    if (std::isnan(score)) throw Error(fmt::format("ctc_beam: the language model says nan for symbol {}", next));
    return score;
  }

  const CtcBeamOptions& options_;
  Prefixes prefixes_;
};

}  // namespace

std::vector<Tokens> ctc_best_path(const Array& log_probs, const std::optional<Array>& lengths, Index blank) {
  const Array x = checked_numbers("ctc_best_path", log_probs, 3, blank);
  const Index T = x.shape()[0], N = x.shape()[1], C = x.shape()[2];
  if (lengths && (lengths->dtype() != DType::i32 || lengths->shape() != Shape{N}))
    throw Error(fmt::format("ctc_best_path: lengths of {} are i32 ({}), not {} {}", x.shape().str(), N,
                            name_of(lengths->dtype()), lengths->shape().str()));
  std::vector<Tokens> out(at(N));
  for (Index n = 0; n < N; ++n) {
    const Index steps = lengths ? lengths->span<std::int32_t>()[at(n)] : T;
    if (steps < 0 || steps > T)
      throw Error(fmt::format("ctc_best_path: sequence {} has {} steps: there are {}", n, steps, T));
    Index before = blank;
    for (Index t = 0; t < steps; ++t) {
      const std::span<const double> row = x.span<double>().subspan(at((t * N + n) * C), at(C));
      for (const double p : row) checked_number("ctc_best_path", p, t);
      const Index best = std::max_element(row.begin(), row.end()) - row.begin();
      if (best != blank && best != before) out[at(n)].push_back(static_cast<std::int32_t>(best));
      before = best;
    }
  }
  return out;
}

std::vector<CtcHypothesis> ctc_beam(const Array& log_probs, const CtcBeamOptions& options) {
  if (options.width < 1) throw Error(fmt::format("ctc_beam: the width must be 1 or more, not {}", options.width));
  const Array x = checked_numbers("ctc_beam", log_probs, 2, options.blank);
  const Index T = x.shape()[0], C = x.shape()[1];
  PrefixSearch search(options);
  for (Index t = 0; t < T; ++t) {
    const std::span<const double> row = x.span<double>().subspan(at(t * C), at(C));
    for (const double p : row) checked_number("ctc_beam", p, t);
    search.step(row);
  }
  return search.hypotheses();
}

}  // namespace rw

#include <algorithm>
#include <cmath>
#include <numbers>

#include <fmt/format.h>

#include <rewind/core/error.h>
#include <rewind/models/classic/hmm.h>
#include <rewind/models/init.h>
#include <rewind/models/sizes.h>
#include <rewind/ops/arithmetic.h>
#include <rewind/ops/lookup.h>
#include <rewind/ops/padding.h>
#include <rewind/ops/reduce.h>
#include <rewind/ops/softmax.h>
#include <rewind/ops/view.h>

namespace rw {
namespace {

using detail::at;

/// Their logarithms. Throws Error unless each row is of probabilities that sum to 1, up to rounding of f32.
Array checked_logs(const char* what, const Array& probabilities) {
  Array logs = probabilities.to(DType::f64);
  const Index n = logs.shape().cols();
  for (Index row = 0; row < logs.shape().rows(); ++row) {
    double sum = 0;
    for (Index i = 0; i < n; ++i) {
      double& p = logs.span<double>()[at(row * n + i)];
      if (!(p >= 0)) throw Error(fmt::format("hmm: {} {} in row {}: {} is no probability", what, i, row, p));
      sum += p;
      p = std::log(p);
    }
    if (!(std::abs(sum - 1) <= 1e-5))
      throw Error(fmt::format("hmm: row {} of the {} sums to {:.6g}: each row must sum to 1", row, what, sum));
  }
  return logs.to(is_real(probabilities.dtype()) ? probabilities.dtype() : DType::f32);
}

const Array& checked_shape(const char* what, const Array& a, const Shape& expected) {
  if (a.shape() != expected)
    throw Error(fmt::format("hmm: the {} is {}: it must be {}", what, a.shape().str(), expected.str()));
  return a;
}

Shape square(const Array& start) { return {start.shape().cols(), start.shape().cols()}; }

/// Rows of counts as log probabilities; a row of nothing stays as it was.
void set_rows(Parameter& p, const Array& counts) {
  Array logs = p.value().to(DType::f64);
  const Index n = counts.shape().cols();
  for (Index row = 0; row < counts.shape().rows(); ++row) {
    double sum = 0;
    for (Index i = 0; i < n; ++i) sum += counts.span<double>()[at(row * n + i)];
    for (Index i = 0; i < n && sum > 0; ++i)
      logs.span<double>()[at(row * n + i)] = std::log(counts.span<double>()[at(row * n + i)] / sum);
  }
  p.set(logs.to(p.dtype()));
}

Array random_rows(Index rows, Index cols, Rng& rng) {
  Tape tape;
  return softmax(tape.constant(normal(rng, {rows, cols}, 0.5))).array();
}

}  // namespace

HiddenMarkovModel::HiddenMarkovModel(const char* name, const Array& start, const Array& transition)
    : Module(name),
      start_(param("start", checked_logs("start", checked_shape("start", start, Shape{start.shape().cols()})))),
      transition_(param("transition", checked_logs("transition matrix",
                                                   checked_shape("transition matrix", transition, square(start))))) {}

HmmScores HiddenMarkovModel::scores(Tensor x, std::optional<Tensor> lengths) const {
  Tape& tape = x.tape();
  if (lengths) x = clear_padding(x, *lengths);
  return {log_softmax(tape.leaf(start_)), log_softmax(tape.leaf(transition_)), emission(x)};
}

std::vector<double> HiddenMarkovModel::baum_welch(const Array& x, int rounds, const std::optional<Array>& lengths) {
  if (rounds < 1) throw Error(fmt::format("hmm: {} rounds of Baum-Welch: it must be 1 or more", rounds));
  std::vector<double> likelihoods;
  for (int round = 0; round < rounds; ++round) {
    Tape tape(DType::f64);
    const NoGrad no_grad(tape);
    std::optional<Tensor> ends;
    if (lengths) ends = tape.constant(*lengths);
    const HmmPosterior p = hmm_posterior(scores(tape.constant(x), ends), ends);
    likelihoods.push_back(sum(p.log_likelihood).item());
    if (!std::isfinite(likelihoods.back()))
      throw Error(
          fmt::format("hmm: the sequences' log-likelihood is {}: this model cannot make them", likelihoods.back()));
    const Array posterior = p.states.array(), counts = sum(p.transitions, {0}).array();
    refit(x, posterior);
    set_rows(start_, sum(select(p.states, 0, 0), {0}).array());
    set_rows(transition_, counts);
  }
  return likelihoods;
}

DiscreteHmm::DiscreteHmm(const Array& start, const Array& transition, const Array& emission)
    : HiddenMarkovModel("hmm", start, transition),
      emission_(param("emission",
                      checked_logs("emission matrix", checked_shape("emission matrix", emission,
                                                                    Shape{states(), emission.shape().cols()})))) {}

DiscreteHmm::DiscreteHmm(Index states, Index symbols, Rng& rng)
    : DiscreteHmm(random_rows(1, detail::checked_size("hmm", "state", states), rng).reshaped({states}),
                  random_rows(states, states, rng),
                  random_rows(states, detail::checked_size("hmm", "symbol", symbols), rng)) {}

Tensor DiscreteHmm::emission(Tensor x) const {
  if (x.shape().rank() != 2 || x.dtype() != DType::i32)
    throw x.tape().error(
        "hmm", fmt::format("observations are indices i32 [T, N], not {} {}", name_of(x.dtype()), x.shape().str()));
  if (!x.tape().tracing()) {
    const Array seen = x.array();
    for (Index i = 0; i < seen.size(); ++i)
      if (const std::int32_t symbol = seen.span<std::int32_t>()[at(i)]; symbol < 0 || symbol >= symbols())
        throw x.tape().error(
            "hmm", fmt::format("observation {} at step {} of sequence {} is outside the alphabet of {} symbols", symbol,
                               i / x.size(1), i % x.size(1), symbols()));
  }
  return lookup(transpose(log_softmax(x.tape().leaf(emission_))), x);
}

void DiscreteHmm::refit(const Array& x, const Array& posterior) {
  const Index n = states(), m = symbols();
  Array counts({n, m}, DType::f64);
  for (Index i = 0; i < x.size(); ++i)
    for (Index s = 0; s < n; ++s) {
      const double p = posterior.span<double>()[at(i * n + s)];
      if (p > 0) counts.span<double>()[at(s * m + x.span<std::int32_t>()[at(i)])] += p;
    }
  set_rows(emission_, counts);
}

DiscreteHmm DiscreteHmm::clone() const {
  Rng unused(0);
  return cloned(DiscreteHmm(states(), symbols(), unused), *this);
}

namespace {

const Array& checked_mean(const Array& mean) {
  for (const double m : mean.to_vector<double>())
    if (!std::isfinite(m)) throw Error(fmt::format("hmm: a mean is {}: it must be finite", m));
  return mean;
}

Array checked_variance_logs(const Array& variance) {
  Array logs = variance.to(DType::f64);
  for (double& v : logs.span<double>()) {
    if (!(v > 0 && std::isfinite(v)))
      throw Error(fmt::format("hmm: a variance is {}: it must be above 0 and finite", v));
    v = std::log(v);
  }
  return logs.to(is_real(variance.dtype()) ? variance.dtype() : DType::f32);
}

}  // namespace

GaussianHmm::GaussianHmm(const Array& start, const Array& transition, const Array& mean, const Array& variance)
    : HiddenMarkovModel("hmm", start, transition),
      mean_(param("mean", checked_mean(checked_shape("mean", mean, Shape{states(), mean.shape().cols()})))),
      log_variance_(param("log_variance", checked_variance_logs(checked_shape("variance", variance, mean.shape())))) {}

Tensor GaussianHmm::emission(Tensor x) const {
  if (x.shape().rank() != 3 || x.size(2) != features())
    throw x.tape().error("hmm", fmt::format("observations are [T, N, {}], not {}", features(), x.shape().str()));
  const Tensor each = reshape(x, Shape{x.size(0), x.size(1), 1, features()}), logs = x.tape().leaf(log_variance_);
  return -0.5 * sum(square(each - mean_) * exp(-logs) + logs + std::log(2 * std::numbers::pi), {-1});
}

void GaussianHmm::refit(const Array& numbers, const Array& posterior) {
  const Array x = numbers.to(DType::f64);
  const Index n = states(), D = features(), steps = x.size() / std::max<Index>(D, 1);
  Array mean = mean_.value().to(DType::f64), logs = log_variance_.value().to(DType::f64);
  for (Index s = 0; s < n; ++s)
    for (Index d = 0; d < D; ++d) {
      double weight = 0, first = 0, second = 0;
      const auto each = [&](auto&& f) {
        for (Index i = 0; i < steps; ++i)  // what is padding may be nan
          if (const double p = posterior.span<double>()[at(i * n + s)]; p > 0) f(p, x.span<double>()[at(i * D + d)]);
      };
      each([&](double p, double v) { weight += p, first += p * v; });
      if (!(weight > 0)) continue;
      const double centre = first / weight;
      each([&](double p, double v) { second += p * (v - centre) * (v - centre); });
      mean.span<double>()[at(s * D + d)] = centre;
      logs.span<double>()[at(s * D + d)] = std::log(std::max(second / weight, 1e-6));
    }
  mean_.set(mean.to(mean_.dtype()));
  log_variance_.set(logs.to(log_variance_.dtype()));
}

GaussianHmm GaussianHmm::clone() const {
  const Index n = states();
  const Array rows = full({n, n}, 1.0 / static_cast<double>(n), DType::f64);
  return cloned(GaussianHmm(full({n}, 1.0 / static_cast<double>(n), DType::f64), rows, zeros({n, features()}),
                            full({n, features()}, 1)),
                *this);
}

}  // namespace rw

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include <rewind/core/error.h>
#include <rewind/models/classic/autoregressive.h>
#include <rewind/models/classic/ridge.h>
#include <rewind/models/sizes.h>
#include <rewind/ops/arithmetic.h>
#include <rewind/ops/loss.h>
#include <rewind/ops/matmul.h>
#include <rewind/ops/view.h>

namespace rw {
namespace {

/// A series as sequences [T, N, D] of f64.
Array sequences(const Array& series, Index features) {
  const Shape s = series.shape();
  const bool fits = (s.rank() == 2 || s.rank() == 3) && s.cols() == features;
  if (!fits)
    throw Error(fmt::format("autoregressive: a series is [T, {0}] or [T, N, {0}], not {1}", features, s.str()));
  return series.to(DType::f64).reshaped({s[0], s.rank() == 3 ? s[1] : 1, features});
}

/// Equations that say x(t) for positions t from `first` up to `last`, from the taps up to `ahead` steps before.
detail::LinearEquations equations(const Array& x, Index order, Index first, Index last, Index ahead = 1) {
  const Index N = x.shape()[1], D = x.shape()[2];
  detail::LinearEquations e{.columns = order * D + 1, .outputs = D};
  const auto at = [&](Index t, Index n) { return x.span<double>().begin() + (t * N + n) * D; };
  for (Index t = first; t < last; ++t)
    for (Index n = 0; n < N; ++n, ++e.rows) {
      for (Index i = order + ahead - 1; i >= ahead; --i) e.taps.insert(e.taps.end(), at(t - i, n), at(t - i, n) + D);
      e.taps.push_back(1);
      e.values.insert(e.values.end(), at(t, n), at(t, n) + D);
    }
  return e;
}

}  // namespace

AutoregressiveModel::AutoregressiveModel(Index order, Index features, Index ahead)
    : Module("autoregressive"),
      order_(detail::checked_size("autoregressive", "order", order)),
      features_(detail::checked_size("autoregressive", "feature", features)),
      ahead_(ahead),
      W_(param("W", zeros(order * features, features))),
      b_(param("b", zeros(features))) {
  if (ahead < 1) throw Error(fmt::format("autoregressive: {} steps ahead: it must be 1 or more", ahead));
}

Tensor AutoregressiveModel::operator()(Tensor x) const { return matmul(windows(x, order_), W_) + b_; }

Tensor AutoregressiveModel::loss(Tensor x) const {
  const Index steps = x.shape().rank() == 3 ? x.size(0) : 0, first = order_ + ahead_ - 1;
  if (steps <= first)
    throw x.tape().error("autoregressive", fmt::format("{} are too few for {} delay taps and a value to forecast",
                                                       x.shape().str(), order_));
  return mse((*this)(slice(x, 0, 0, steps - ahead_)), slice(x, 0, first, steps - first));
}

void AutoregressiveModel::fit(const Array& series, double ridge) {
  const Array x = sequences(series, features_);
  const Index steps = x.shape()[0], first = order_ + ahead_ - 1;
  if (steps <= first)
    throw Error(
        fmt::format("autoregressive: {} values are too few for {} delay taps and a value to forecast", steps, order_));
  const std::vector<double> w = equations(x, order_, first, steps, ahead_).solved("autoregressive", ridge);
  const Index rows = order_ * features_;
  const std::span<const double> all(w);
  const auto cut = static_cast<std::size_t>(rows * features_);
  W_.set(Array(all.first(cut), {rows, features_}).to(W_.dtype()));
  b_.set(Array(all.subspan(cut), {features_}).to(b_.dtype()));
}

Tensor AutoregressiveModel::forecast(Tensor x, Index steps) const {
  if (steps < 1)
    throw x.tape().error("autoregressive", fmt::format("a forecast of {} steps: it must be 1 or more", steps));
  if (ahead_ != 1)
    throw x.tape().error("autoregressive", fmt::format("a model of {} steps ahead cannot go on by itself", ahead_));
  Tensor taps = select(windows(x, order_), 0, -1);  // [N, order * D]
  std::vector<Tensor> all;
  for (Index t = 0; t < steps; ++t) {
    const Scope scope(x.tape(), "t", t);
    all.push_back(matmul(taps, W_) + b_);
    taps = concat({slice(taps, 1, features_, (order_ - 1) * features_), all.back()}, 1);
  }
  return stack(all);
}

AutoregressiveModel AutoregressiveModel::clone() const {
  return cloned(AutoregressiveModel(order_, features_, ahead_), *this);
}

OrderChoice choose_order(const Array& series, Index most, OrderCriterion criterion, double held_out) {
  detail::checked_size("choose_order", "largest", most);
  if (!(held_out > 0 && held_out < 1))
    throw Error(fmt::format("choose_order: {} of the series held out: it must be between 0 and 1", held_out));
  if (series.shape().rank() != 2) throw Error("choose_order: a series is [T, D], not " + series.shape().str());
  const Array x = sequences(series, series.shape().cols());
  const Index D = x.shape()[2], steps = x.shape()[0];
  const bool aic = criterion == OrderCriterion::aic;
  if (aic && D != 1)
    throw Error(fmt::format("choose_order: AIC of a series of {} values at a time: hold out a part", D));
  const Index learnt = aic ? steps : steps - static_cast<Index>(held_out * static_cast<double>(steps));
  OrderChoice choice;
  if (learnt - most < most * D + 1)
    throw Error(fmt::format("choose_order: {} values are too few to try {} delay taps", steps, most));
  if (!aic && learnt == steps) throw Error(fmt::format("choose_order: nothing of {} values is held out", steps));
  for (Index order = 1; order <= most; ++order) {
    const detail::LinearEquations first = equations(x, order, most, learnt);
    const std::vector<double> w = first.solved("choose_order", 0);
    const double n = static_cast<double>(first.rows);
    choice.scores.push_back(aic ? n * std::log(first.mean_square_error(w)) + 2 * static_cast<double>(w.size())

                                : equations(x, order, learnt, steps).mean_square_error(w));
  }
  choice.order = std::min_element(choice.scores.begin(), choice.scores.end()) - choice.scores.begin() + 1;
  return choice;
}

}  // namespace rw

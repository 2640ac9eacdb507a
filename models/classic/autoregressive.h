#pragma once

#include <span>
#include <vector>

#include <rewind/models/classic/windows.h>
#include <rewind/models/module.h>

namespace rw {

/// Autoregressive model of order k, AR(k) (Yule, 1927): the next value is a constant and a linear function of the last
/// k,
///
///     x(t) = b + x(t-k) W1 + ... + x(t-1) Wk,
///
/// for D values at a time; with `ahead` above 1 the same says x(t + ahead - 1), directly. Parameters W [k * D, D], the
/// oldest tap first, and b [D]; both begin at 0. By gradient it is trained as any module is; `fit` is least squares in
/// one step.
class AutoregressiveModel : public Module {
 public:
  /// Throws Error for an order, a number of features or of steps ahead below 1.
  AutoregressiveModel(Index order, Index features = 1, Index ahead = 1);

  /// Forecasts of x [T, N, D]: [T - order + 1, N, D], the first for position order + ahead - 1, the last for the value
  /// `ahead` steps behind the last of x. Throws Error for fewer values than taps.
  Tensor operator()(Tensor x) const;
  /// The mean squared error of all forecasts of what is in x. Throws Error when it is too short for one.
  Tensor loss(Tensor x) const;

  /// Least squares over a series [T, D] or sequences [T, N, D], by Householder's QR decomposition in f64. `ridge` adds
  /// ridge times the sum of squares of W to the sum of squared errors. Throws Error for series of other features or
  /// that are not finite, for a negative ridge, and when there are fewer equations than unknowns in each of them and no
  /// ridge.
  void fit(const Array& series, double ridge = 0);

  /// Goes on by itself: `steps` values [steps, N, D] after x [T, N, D], without noise. Throws Error for a model of more
  /// than one step ahead.
  Tensor forecast(Tensor x, Index steps) const;

  /// Number of taps.
  Index order() const { return order_; }
  /// Values at a time.
  Index features() const { return features_; }
  /// From the last tap to the forecast.
  Index ahead() const { return ahead_; }
  AutoregressiveModel clone() const;

 private:
  Index order_, features_, ahead_;
  Parameter &W_, &b_;
};

/// What an order is chosen by.
enum class OrderCriterion {
  /// Akaike's information criterion (1974), of Gaussian errors: n log(sum of squares / n) + 2 parameters, the same n
  /// equations for all orders. For one value at a time.
  aic,
  /// The mean squared error on the last part of the series, which was not learnt from.
  held_out,
};

struct OrderChoice {
  /// The best order, and the score of each order from 1 on: the smaller the better.
  Index order = 0;
  std::vector<double> scores;
};

/// The order from 1 to `most` that is best for a series [T, D]. `held_out` is the part of it that is kept for
/// OrderCriterion::held_out. Throws Error when the series is too short for `most` taps, for AIC of several values at a
/// time, and for a part outside (0, 1).
OrderChoice choose_order(const Array& series, Index most, OrderCriterion criterion, double held_out = 0.25);

}  // namespace rw

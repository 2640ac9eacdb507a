#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <utility>

#include <rewind/core/error.h>
#include <rewind/models/optim/schedule.h>
#include <rewind/models/weights/state_arrays.h>

namespace rw {
namespace {

void require(bool holds, const char* message) {
  if (!holds) throw Error(message);
}

}  // namespace

double StepDecay::operator()(Index done) const {
  require(every > 0, "step decay: 'every' must be at least 1");
  const Index falls = done < after ? 0 : 1 + (done - after) / every;
  return falls == 0 ? rate : rate * std::pow(factor, static_cast<double>(falls));
}

double ExponentialDecay::operator()(Index done) const {
  require(every > 0, "exponential decay: 'every' must be at least 1");
  return rate * std::pow(factor, static_cast<double>(done) / static_cast<double>(every));
}

double CosineDecay::operator()(Index done) const {
  require(steps > 0, "cosine decay: 'steps' must be at least 1");
  require(growth > 0, "cosine decay: 'growth' must be at least 1");
  double length = static_cast<double>(steps), at = static_cast<double>(restarts && growth == 1 ? done % steps : done);
  for (; restarts && at >= length; length *= static_cast<double>(growth)) at -= length;
  if (at >= length) return floor;
  return floor + (rate - floor) * (1 + std::cos(std::numbers::pi * at / length)) / 2;
}

Schedule warm_up(Schedule then, Index steps, double from) {
  require(steps >= 0, "warm_up: the steps must not be negative");
  require(from >= 0 && from <= 1, "warm_up: it grows from a part of the rate, in [0, 1]");
  return [then = std::move(then), steps, from](Index done) {
    if (done >= steps) return then(done - steps);
    return then(0) * (from + (1 - from) * static_cast<double>(done) / static_cast<double>(steps));
  };
}

Schedule in_turn(Schedule first, Index steps, Schedule second) {
  require(steps >= 0, "in_turn: the steps must not be negative");
  return [first = std::move(first), steps, second = std::move(second)](Index done) {
    return done < steps ? first(done) : second(done - steps);
  };
}

Schedule product(Schedule a, Schedule b) {
  return [a = std::move(a), b = std::move(b)](Index done) { return a(done) * b(done); };
}

Plateau::Plateau(const PlateauOptions& options) : options_(options), best_(std::numeric_limits<double>::infinity()) {
  require(options.factor > 0 && options.factor < 1, "plateau: the factor must be in (0, 1)");
  require(options.patience >= 0 && options.cooldown >= 0, "plateau: patience and cooldown must not be negative");
  require(options.threshold >= 0 && options.floor >= 0, "plateau: threshold and floor must not be negative");
}

double Plateau::observe(double loss) {
  const double margin = std::isfinite(best_) ? options_.threshold * std::abs(best_) : 0;
  if (loss < best_ - margin) {
    best_ = loss;
    bad_ = 0;
  } else {
    ++bad_;
  }
  if (cooling_ > 0) {
    --cooling_;
    bad_ = 0;
  }
  if (bad_ > options_.patience) {
    scale_ = std::max(std::min(scale_, options_.floor), scale_ * options_.factor);
    cooling_ = options_.cooldown;
    bad_ = 0;
  }
  return scale_;
}

std::vector<NamedArray> Plateau::state() const {
  return detail::scalar_arrays({{"best", best_},
                                {"scale", scale_},
                                {"bad", static_cast<double>(bad_)},
                                {"cooling", static_cast<double>(cooling_)}});
}

void Plateau::set_state(std::span<const NamedArray> state) {
  const std::string complaint = "the saved state is not of a plateau";
  const auto saved = detail::matching(this->state(), state, complaint);
  const double best = saved[0]->item(), scale = saved[1]->item();
  if (std::isnan(best) || !(scale >= 0 && scale <= 1)) throw Error(complaint + ": its scale or its best loss");
  const Index bad = detail::saved_count(*saved[2], complaint), cooling = detail::saved_count(*saved[3], complaint);
  best_ = best;
  scale_ = scale;
  bad_ = bad;
  cooling_ = cooling;
}

}  // namespace rw

// A stock-like series, and an honest answer. Prices are a random walk: today's says all about tomorrow's, and where it
// goes cannot be predicted. How far it goes can, a little: wild days follow wild days (GARCH; Bollerslev, 1986: the
// variance of a day's return is 0.02 + 0.1 last return^2 + 0.88 last variance). An LSTM reads returns and gives, for
// the next one, a mean and a deviation, trained by the Gaussian likelihood. Asked for, on later days: its means are no
// better than "no change", and say so by being small; its deviations have at least nine tenths of what knowing the rule
// gains over one deviation for all days.
//
// A plain random walk, where there is nothing to know at all: prices --memory 0
#include <cmath>

#include <rewind/rewind.h>

#include "step.h"
#include "task.h"

using namespace rw;

namespace {

constexpr Index batch = 64, warm_up_days = 40, days = 120;  // of a window; the first ones do not count

/// Returns in units of their deviation, and the variance that each was drawn with.
struct Series {
  std::vector<double> returns, variances;
};

/// `memory`: 1 as above; 0, a walk whose steps are all alike.
Series draw_series(Index length, double memory, Rng& rng) {
  Series s;
  double variance = 1, last = 0;
  for (Index t = 0; t < length; ++t) {
    if (t > 0) variance = 1 + memory * (0.02 + 0.1 * last * last + 0.88 * variance - 1);
    last = std::sqrt(variance) * rng.normal();
    s.returns.push_back(last), s.variances.push_back(variance);
  }
  return s;
}

struct Batch {
  Array x, y, variance;  // [days, N, 1]: a return, the next one, and that one's variance
};

/// Windows that begin at these days.
Batch windows_at(const Series& s, const std::vector<Index>& begins) {
  const Index n = static_cast<Index>(begins.size());
  Batch b{zeros(days, n, 1), zeros(days, n, 1), zeros(days, n, 1)};
  for (Index i = 0; i < n; ++i)
    for (Index t = 0; t < days; ++t) {
      const auto day = static_cast<std::size_t>(begins[static_cast<std::size_t>(i)] + t);
      b.x.set({t, i, 0}, s.returns[day]);
      b.y.set({t, i, 0}, s.returns[day + 1]), b.variance.set({t, i, 0}, s.variances[day + 1]);
    }
  return b;
}

/// -log of a normal density at y, in nats.
double nats(double y, double mean, double variance) {
  return 0.5 * (std::log(6.283185307179586 * variance) + (y - mean) * (y - mean) / variance);
}

struct Result {
  double error = 0, still_error = 0, means = 0;        // mean squares: of forecasts, of "no change", of the means
  double nats = 0, constant_nats = 0, known_nats = 0;  // of the next return: the network, one deviation, the rule
};

/// Over the days that count of the windows side by side.
Result judge(const Readout<LstmCell>& net, const Series& test) {
  std::vector<Index> begins;
  for (Index day = 0; day + days + 1 < static_cast<Index>(test.returns.size()); day += days - warm_up_days)
    begins.push_back(day);
  const Batch b = windows_at(test, begins);
  Tape tape;
  const NoGrad off(tape);
  const Array out = net(tape.constant(b.x)).array();
  double square = 0;
  for (const double r : test.returns) square += r * r / static_cast<double>(test.returns.size());
  Result sum;
  const Index n = static_cast<Index>(begins.size()), count = n * (days - warm_up_days);
  for (Index t = warm_up_days; t < days; ++t)
    for (Index i = 0; i < n; ++i) {
      const double y = b.y.at({t, i, 0}), mean = out.at({t, i, 0}), deviation = std::exp(out.at({t, i, 1}));
      sum.error += (y - mean) * (y - mean), sum.still_error += y * y, sum.means += mean * mean;
      sum.nats += nats(y, mean, deviation * deviation);
      sum.constant_nats += nats(y, 0, square), sum.known_nats += nats(y, 0, b.variance.at({t, i, 0}));
    }
  for (double* part : {&sum.error, &sum.still_error, &sum.means, &sum.nats, &sum.constant_nats, &sum.known_nats})
    *part /= static_cast<double>(count);
  return sum;
}

int prices(Task& task) {
  const double memory = task.number("memory");
  if (!(memory >= 0 && memory <= 1))
    throw Error("--memory takes a number from 0 to 1, not '" + task.text("memory") + "'");
  const Index hidden = task.count("hidden", 1), updates = task.count("steps"), length = task.count("days", 1000);
  Rng rng(task.seed());
  Rng chance = rng.split(1), which = rng.split(2);
  const Series past = draw_series(length, memory, chance), later = draw_series(length, memory, chance);
  const Readout net{LstmCell(1, hidden, rng), Linear(hidden, 2, rng)};
  const auto parameters = net.parameters();
  Adam adam(parameters, {});
  const auto draw = [&] {
    std::vector<Index> begins(batch);
    for (Index& day : begins) day = which.below(length - days - 1);
    return windows_at(past, begins);
  };
  const Batch example = draw();
  auto update = make_step(
      task,
      [&](Tape&, Tensor x, Tensor y) {
        const auto [mean_of, log_deviation] = split<2>(slice(net(x), 0, warm_up_days, days - warm_up_days));
        const Tensor off = (slice(y, 0, warm_up_days, days - warm_up_days) - mean_of) * exp(-log_deviation);
        const Tensor loss = mean(log_deviation + 0.5 * square(off));
        backward(loss);
        return loss;
      },
      example.x, example.y);
  const Schedule rate = falling(3e-3, updates, 0.8);
  for (Index i = 1; i <= updates; ++i) {
    const Batch b = draw();
    const double loss = update(b.x, b.y).item();
    clip_grad_norm(parameters, 1);
    adam.set_rate(rate(i - 1));
    adam.step();
    task.progress("prices", i, updates, "nats of a return, but for a constant, ", loss);
  }
  const Result r = judge(net, later);
  const double gained = r.constant_nats - r.nats, known = r.constant_nats - r.known_nats;
  const bool no_oracle = r.error > 0.99 * r.still_error && r.error < 1.01 * r.still_error && r.means < 0.01;
  const bool ok = task.quick() ? no_oracle : no_oracle && gained >= (memory > 0 ? 0.9 * known : -0.01);
  return task.result(ok, "where prices go: squared error ", r.error / r.still_error,
                     " of that of \"no change\", means of ", std::sqrt(r.means / r.still_error),
                     " deviations: not predictable; how far: ", gained,
                     " nats a day better than one deviation for all, ", known, " for who knows the rule");
}

}  // namespace

int main(int argc, char** argv) {
  return run_task(argc, argv,
                  {{"steps", "1500", "100"}, {"hidden", "16", "8"}, {"days", "40000", "10000"}, {"memory", "1", "1"}},
                  prices);
}

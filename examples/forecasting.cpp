// Forecasting a time series: the Mackey-Glass equation (Science 197, 1977) with a delay of 17, a chaotic system that
// recurrent networks have long been tried on,
//
//     dx/dt = 0.2 x(t - 17) / (1 + x(t - 17)^10) - 0.1 x(t),
//
// seen once in a unit of time, with a little noise. From the last 48 values an LSTM predicts the one `ahead` units
// later. The yardstick is the best linear forecast, an autoregressive model of the same 48 values and a constant,
// fitted by least squares to the same training data; beside it stands a feed-forward net over the same window. Asked
// for is at most 0.9 of its root mean squared error on later data.
//
// Harder: forecasting --ahead 50 --steps 20000 --hidden 128
#include <algorithm>
#include <cmath>

#include <rewind/rewind.h>

#include "step.h"
#include "task.h"

using namespace rw;

namespace {

constexpr Index batch = 64, window = 48;

/// x(0), x(1), ...: integrated by Runge and Kutta's method of fourth order in steps of 0.1, the delayed value between
/// two of them being their mean; the first 500 units are left out. Then scaled to mean 0 and deviation 1.
std::vector<double> mackey_glass(Index length, double noise, Rng& rng) {
  constexpr int steps = 10, delay = 17 * steps;
  const double h = 1.0 / steps;
  const auto slope = [](double x, double delayed) { return 0.2 * delayed / (1 + std::pow(delayed, 10)) - 0.1 * x; };
  std::vector<double> x(delay + 1);
  for (double& v : x) v = 1.2 + 0.1 * rng.uniform(-1, 1);
  std::vector<double> series;
  for (Index n = 0; static_cast<Index>(series.size()) < length; ++n) {
    const double now = x.back(), first = x[x.size() - 1 - delay], last = x[x.size() - delay],
                 middle = (first + last) / 2;
    const double k1 = slope(now, first), k2 = slope(now + h / 2 * k1, middle), k3 = slope(now + h / 2 * k2, middle);
    const double k4 = slope(now + h * k3, last);
    x.push_back(now + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4));
    if (n >= 500 * steps && n % steps == 0) series.push_back(x.back());
  }
  double mean = 0, square = 0;
  for (const double v : series) mean += v / static_cast<double>(length);
  for (const double v : series) square += (v - mean) * (v - mean) / static_cast<double>(length);
  for (double& v : series) v = (v - mean) / std::sqrt(square) + noise * rng.normal();
  return series;
}

/// Windows of a series, each with what comes `ahead` units after its end.
struct Windows {
  std::vector<double> series;
  Index ahead;

  Index length() const { return static_cast<Index>(series.size()); }
  Index count() const { return length() - window - ahead + 1; }
  const double* inputs(Index i) const { return series.data() + i; }
  double target(Index i) const { return series[static_cast<std::size_t>(i + window - 1 + ahead)]; }
  Windows part(Index from, Index to) const { return {{series.begin() + from, series.begin() + to}, ahead}; }
  /// Windows as x [T, N, 1] and y [N, 1].
  std::pair<Array, Array> arrays(const std::vector<Index>& which) const {
    const Index n = static_cast<Index>(which.size());
    std::pair<Array, Array> all{zeros(window, n, 1), zeros(n, 1)};
    for (Index i = 0; i < n; ++i) {
      const Index w = which[static_cast<std::size_t>(i)];
      for (Index t = 0; t < window; ++t)
        all.first.span<float>()[static_cast<std::size_t>(t * n + i)] = static_cast<float>(inputs(w)[t]);
      all.second.span<float>()[static_cast<std::size_t>(i)] = static_cast<float>(target(w));
    }
    return all;
  }
};

/// Root mean squared error of the linear forecast on `test`.
double linear_error(const Windows& train, const Windows& test) {
  AutoregressiveModel model(window, 1, train.ahead);
  model.to(DType::f64);
  const auto column = [](const Windows& w) { return Array(w.series).reshaped({w.length(), 1, 1}); };
  model.fit(column(train));
  Tape tape(DType::f64);
  return std::sqrt(model.loss(tape.constant(column(test))).item());
}

using Network = Readout<LstmCell>;

/// A feed-forward net over the same values: delay taps in place of a memory.
class WindowNet : public Module {
 public:
  WindowNet(Index hidden, Rng& rng)
      : Module("window"),
        first_(child("first", Linear(window, hidden, rng))),
        second_(child("second", Linear(hidden, 1, rng))) {}
  Tensor operator()(Tensor x) const { return second_(tanh(first_(select(windows(x, window), 0, 0)))); }

 private:
  Linear &first_, &second_;
};

template <class Net>
double network_error(const Net& network, const Windows& test) {
  double square = 0;
  for (Index from = 0; from < test.count(); from += 500) {
    std::vector<Index> which;
    for (Index i = from; i < std::min(from + 500, test.count()); ++i) which.push_back(i);
    const auto [x, y] = test.arrays(which);
    Tape tape;
    const NoGrad no_grad(tape);
    square += mse(network(tape.constant(x)), tape.constant(y), {.reduction = Reduction::sum}).item();
  }
  return std::sqrt(square / static_cast<double>(test.count()));
}

/// Trains, and keeps the weights that were best on the validation part.
template <class Net>
void train(Task& task, const Net& network, const Windows& data, const Windows& validation, Rng& rng) {
  const Index updates = task.count("steps");
  Adam adam({{.parameters = network.parameters(), .clip_norm = 1}}, {});
  const Schedule rate = warm_up(CosineDecay{.rate = 5e-3, .steps = updates}, 100);
  EarlyStopping stopping(network.parameters(), {.patience = 10});
  const auto draw = [&] {
    std::vector<Index> which(batch);
    for (Index& i : which) i = rng.below(data.count());
    return data.arrays(which);
  };
  const auto example = draw();
  auto update = make_step(
      task,
      [&](Tape&, Tensor x, Tensor y) {
        const Tensor loss = mse(network(x), y);
        backward(loss);
        return loss;
      },
      example.first, example.second);
  for (Index i = 1; i <= updates; ++i) {
    const auto b = draw();
    const double loss = update(b.first, b.second).item();
    adam.set_rate(rate(i - 1));
    adam.step();
    task.progress(network.name(), i, updates, "error ", std::sqrt(loss));
    if (i % (updates / 20) == 0 && stopping.observe(network_error(network, validation))) break;
  }
  stopping.restore();
}

int forecasting(Task& task) {
  const Index ahead = task.count("ahead"), hidden = task.count("hidden"), n = task.count("length");
  if (task.count("steps") < 20) throw Error("--steps must be at least 20");
  Rng rng(task.seed());
  const Windows all{mackey_glass(n, task.number("noise"), rng), ahead};
  const Index learn = n * 7 / 10, validate = n * 8 / 10;
  const Windows data = all.part(0, learn), validation = all.part(learn, validate), test = all.part(validate, n);
  if (test.count() < 1 || validation.count() < 1) throw Error("--length is too short for windows that far ahead");

  const Network network{LstmCell(1, hidden, rng), Linear(hidden, 1, rng), {.return_sequences = false}};
  train(task, network, data, validation, rng);
  const WindowNet feed_forward(hidden, rng);
  train(task, feed_forward, data, validation, rng);
  // The linear forecast needs no validation, so it learns from that part as well.
  const double lstm = network_error(network, test), linear = linear_error(all.part(0, validate), test);
  double persistence = 0;
  for (Index i = 0; i < test.count(); ++i)
    persistence += std::pow(test.inputs(i)[window - 1] - test.target(i), 2) / static_cast<double>(test.count());
  return task.result(lstm <= 0.9 * linear, "error ", lstm, " (rms, deviations of the series) ", ahead, " ahead, ",
                     lstm / linear, " of the autoregressive model's ", linear,
                     "; a feed-forward net over the same window has ", network_error(feed_forward, test),
                     ", the last value as forecast ", std::sqrt(persistence), ", over ", test.count(), " forecasts");
}

}  // namespace

int main(int argc, char** argv) {
  return run_task(argc, argv,
                  {{"ahead", "84", "84"},
                   {"steps", "4000", "200"},
                   {"hidden", "48", "24"},
                   {"length", "10000", "3000"},
                   {"noise", "0.01", "0.01"}},
                  forecasting);
}

// Newton's iteration to convergence within a model. A planet's position at time t follows from Kepler's equation
// E - e sin E = M for the eccentric anomaly E, which only an iteration solves. Here an orbit's eccentricity e and its
// phase are found from observed positions, by gradients that flow through as many Newton steps as the numbers need,
// compiled once.
#include <cmath>

#include <rewind/rewind.h>

#include "task.h"

using namespace rw;

namespace {

constexpr double pi = 3.14159265358979323846, true_e = 0.9, true_phase = 0.4, period = 10;

struct Anomaly {
  Tensor E;      // [T]
  Tensor steps;  // how many it took
};

/// E with E - e sin E = M, to the last digits.
Anomaly anomaly(Tensor M, Tensor e) {
  const auto off = [&](Tensor E) { return E - e * sin(E) - M; };
  const auto moves = [&](const Anomaly& at) { return max(abs(off(at.E))) > 1e-12; };
  const auto newton = [&](const Anomaly& at) { return Anomaly{at.E - off(at.E) / (1 - e * cos(at.E)), at.steps + 1}; };
  Tape& tape = M.tape();
  return while_loop(moves, newton, Anomaly{M + e * sin(M), tape.constant(0)}, {.at_most = 20});
}

int kepler(Task& task) {
  const Index updates = task.count("steps"), n = task.count("observations", 3);
  Array times({n}, DType::f64), observed({2, n}, DType::f64);
  for (Index i = 0; i < n; ++i) {
    const double t = 2 * period * static_cast<double>(i) / static_cast<double>(n), M = true_phase + 2 * pi * t / period;
    double E = M;
    for (int k = 0; k < 100; ++k) E = E - (E - true_e * std::sin(E) - M) / (1 - true_e * std::cos(E));
    times.span<double>()[static_cast<std::size_t>(i)] = t;
    observed.span<double>()[static_cast<std::size_t>(i)] = std::cos(E) - true_e;
    observed.span<double>()[static_cast<std::size_t>(n + i)] = std::sqrt(1 - true_e * true_e) * std::sin(E);
  }
  Parameter shape("shape", zeros({}, DType::f64)), phase("phase", zeros({}, DType::f64));
  Adam adam({{.parameters = {{"shape", &shape}, {"phase", &phase}}}}, {.rate = 0.02});
  auto update = compile(
      [&](Tape& tape, Tensor t, Tensor xy) {
        const Tensor e = sigmoid(tape.leaf(shape));
        const auto [E, steps] = anomaly(t * (2 * pi / period) + phase, e);
        const Tensor loss = mse(stack({cos(E) - e, sqrt(1 - square(e)) * sin(E)}), xy);
        backward(loss);
        return std::tuple(loss, e, steps);
      },
      {.dtype = DType::f64, .eager = task.eager()}, times, observed);
  double error = 1, least = 1e9, most = 0, e = 0;
  for (Index i = 1; i <= updates; ++i) {
    const auto [loss, now, steps] = update(times, observed);
    error = loss.item(), e = now.item(), least = std::min(least, steps.item()), most = std::max(most, steps.item());
    adam.step();
    task.progress("kepler", i, updates, "squared error ", error, ", e ", e);
  }
  return task.result(std::abs(e - true_e) < 1e-3, "eccentricity ", e, " (true: ", true_e, "), squared error ", error,
                     "; Newton took ", least, " to ", most, " steps");
}

}  // namespace

int main(int argc, char** argv) {
  return run_task(argc, argv, {{"steps", "2000", "600"}, {"observations", "50", "20"}}, kepler);
}

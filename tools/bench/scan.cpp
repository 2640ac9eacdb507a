// Cells with linear recurrences over a long sequence: all steps at once by their `scan`, beside step by step, both
// compiled; a training step with the gradient of x.

#include <functional>
#include <memory>
#include <utility>

#include <fmt/format.h>

#include <rewind/rewind.h>

#include "comparisons.h"
#include "recurrent.h"

namespace rw::bench {

namespace {

constexpr Index steps = 10'000, batch = 1, width = 64;

template <class C>
class LongRun {
 public:
  explicit LongRun(bool scanned)
      : cell_(width, width, rng_),
        x_("x", uniform(rng_, {steps, batch, width}, -1, 1)),
        step_(compile(Function([this, scanned](Tape& tape) { return loss(tape, scanned); }))) {}
  void run() {
    cell_.zero_grad();
    x_.zero_grad();
    loss_ = step_().item();
  }
  Result result() const {
    const Array W = cell_.parameter("W").grad(), x = x_.grad();
    return {{"loss", {loss_}},
            {"gradient of W", sample(W.span<float>().data(), W.size())},
            {"gradient of x", sample(x.span<float>().data(), x.size())}};
  }

 private:
  using Function = std::function<Tensor(Tape&)>;

  Tensor loss(Tape& tape, bool scanned) const {
    const Tensor x = tape.leaf(x_);
    const auto start = cell_.zero_state(tape, batch);
    const Tensor y = scanned ? cell_.scan(x, start).outputs : outputs(cell_, unroll(cell_, x, start));
    const Tensor loss = mean(square(y));
    backward(loss);
    return loss;
  }

  Rng rng_{1};
  C cell_;
  Parameter x_;
  Compiled<Function> step_;
  double loss_ = 0;
};

template <class C>
Field both_ways(const Setting&) {
  Field field;
  for (const bool scanned : {true, false}) {
    const auto network = std::make_shared<LongRun<C>>(scanned);
    field.contenders.push_back({scanned ? "Rewind compiled, scan" : "Rewind compiled, step by step",
                                [network] { network->run(); }, [network] { return network->result(); }});
  }
  return field;
}

}  // namespace

std::vector<Comparison> scan_comparisons() {
  const std::pair<const char*, Field (*)(const Setting&)> cells[] = {{"min-gru", both_ways<MinGruCell>},
                                                                     {"min-lstm", both_ways<MinLstmCell>},
                                                                     {"qrnn", both_ways<QrnnCell>},
                                                                     {"lru", both_ways<LruCell>}};
  std::vector<Comparison> all;
  for (const auto& [name, make] : cells) {
    Comparison one;
    one.name = fmt::format("scan/{}/T{} N{} I{} H{}", name, steps, batch, width, width);
    one.note = "linear recurrences: all steps at once, and one after the other";
    one.work = 3 * Problem{.T = steps, .N = batch, .I = width, .H = width}.work();
    one.seconds = 5;
    one.make = make;
    all.push_back(std::move(one));
  }
  return all;
}

}  // namespace rw::bench

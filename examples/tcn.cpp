// RNN or CNN? Dilated causal convolutions (a temporal convolutional network; Bai, Kolter and Koltun, 2018) beside an
// LSTM and a tanh RNN of about as many parameters, on one task: of T numbers in [0, 1] two are marked, one in each
// half, and the answer after the last one is their sum. Who always says 1 has a squared error of 1/6. A convolution
// sees as many steps as its kernels reach; this one sees all, in a few layers, where the others pass every step.
//
// Longer: tcn --length 400 --levels 7 --steps 6000
#include <cmath>
#include <ctime>
#include <iomanip>

#include <rewind/rewind.h>

#include "step.h"
#include "task.h"

using namespace rw;

namespace {

constexpr Index batch = 64, channels = 24, kernel = 7;

struct Batch {
  Array x;  // [T, N, 2]: the number, and whether it is marked
  Array y;  // [N, 1]
};

Batch draw(Rng& rng, Index steps) {
  Batch b{zeros(steps, batch, 2), zeros(batch, 1)};
  for (Index n = 0; n < batch; ++n) {
    for (Index t = 0; t < steps; ++t) b.x.set({t, n, 0}, rng.uniform(0, 1));
    double sum = 0;
    for (const Index t : {rng.below(steps / 2), steps / 2 + rng.below(steps - steps / 2)}) {
      b.x.set({t, n, 1}, 1);
      sum += b.x.at({t, n, 0});
    }
    b.y.set({n, 0}, sum);
  }
  return b;
}

/// Levels of x + relu(causal convolution), each of twice the dilation, and a linear layer after the last step.
class Tcn : public Module {
 public:
  Tcn(Index in, Index levels, Rng& rng)
      : Module("tcn"), in_(child("in", Linear(in, channels, rng))), head_(child("head", Linear(channels, 1, rng))) {
    for (Index i = 0; i < levels; ++i)
      levels_.push_back(&child("level" + std::to_string(i),
                               Conv1d(channels, channels, kernel, rng, {.dilation = Index{1} << i, .causal = true})));
  }
  /// x [T, N, in] -> [N, 1].
  Tensor operator()(Tensor x) const {
    Tensor h = in_(x);
    for (const Conv1d* level : levels_) h = h + relu((*level)(h));
    return head_(select(h, 0, -1));
  }
  /// Steps that the last one sees.
  Index reach() const { return 1 + (kernel - 1) * ((Index{1} << levels_.size()) - 1); }

 private:
  Linear &in_, &head_;
  std::vector<const Conv1d*> levels_;
};

struct Row {
  std::string name;
  Index parameters = 0;
  double error = 0, seconds = 0;  // squared error of fresh sequences, and the processor's time to train
};

template <class Net>
Row learn(Task& task, const std::string& name, const Net& net) {
  const Index steps = task.count("length", 4), updates = task.count("steps");
  const auto parameters = net.parameters();
  Adam adam(parameters, {.rate = 2e-3});
  Rng data = Rng(task.seed()).split(1), fresh = Rng(task.seed()).split(2);
  const Batch example = draw(data, steps);
  auto update = make_step(
      task,
      [&](Tape&, Tensor x, Tensor y) {
        const Tensor loss = mse(net(x), y);
        backward(loss);
        return loss;
      },
      example.x, example.y);
  auto test = make_step(
      task, [&](Tape&, Tensor x, Tensor y) { return mse(net(x), y); }, example.x, example.y);
  const std::clock_t start = std::clock();
  const Schedule rate = falling(2e-3, updates);
  for (Index i = 1; i <= updates; ++i) {
    const Batch b = draw(data, steps);
    const double loss = update(b.x, b.y).item();
    clip_grad_norm(parameters, 1);
    adam.set_rate(rate(i - 1));
    adam.step();
    task.progress(name, i, updates, "squared error ", loss);
  }
  Row row{name, net.parameter_count(), 0, static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC};
  const Index batches = task.quick() ? 4 : 40;
  for (Index i = 0; i < batches; ++i) {
    const Batch b = draw(fresh, steps);
    row.error += test(b.x, b.y).item() / static_cast<double>(batches);
  }
  return row;
}

int tcn(Task& task) {
  Rng rng(task.seed());
  const Tcn convolutions(2, task.count("levels", 1, 20), rng);
  if (convolutions.reach() < task.count("length"))
    throw Error("--levels: the convolutions see " + std::to_string(convolutions.reach()) + " steps of " +
                task.text("length") + ": say more levels");
  const auto hidden = [&](double gates) {  // of as many parameters
    return static_cast<Index>(std::sqrt(static_cast<double>(convolutions.parameter_count()) / gates)) - 1;
  };
  const Readout lstm{LstmCell(2, hidden(4), rng), Linear(hidden(4), 1, rng), {.return_sequences = false}};
  const Readout tanh{RnnCell(2, hidden(1), rng), Linear(hidden(1), 1, rng), {.return_sequences = false}};
  const std::vector<Row> rows{learn(task, "TCN", convolutions), learn(task, "LSTM", lstm),
                              learn(task, "tanh RNN", tanh)};
  std::cout << "network   parameters  squared error  seconds\n" << std::setprecision(3);
  for (const Row& r : rows)
    std::cout << std::left << std::setw(10) << r.name << std::right << std::setw(10) << r.parameters << std::setw(15)
              << r.error << std::setw(9) << r.seconds << '\n';
  const bool ok = rows[0].error < (task.quick() ? 0.08 : 0.002) && rows[0].error < rows[2].error;
  return task.result(ok, "squared error of the sum of two of ", task.text("length"), " numbers (1/6 = always 1): TCN ",
                     rows[0].error, ", LSTM ", rows[1].error, ", tanh RNN ", rows[2].error);
}

}  // namespace

int main(int argc, char** argv) {
  return run_task(argc, argv, {{"steps", "2000", "400"}, {"length", "100", "30"}, {"levels", "5", "3"}}, tcn);
}

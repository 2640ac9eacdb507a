// The adding problem (Hochreiter and Schmidhuber, "Long short-term memory", 1997, experiment 4), T = 100: of 100 to 110
// numbers in [-1, 1] two are marked, one among the first ten and one in the first half; the target, after the last one,
// is 0.5 + their sum / 4. Their criterion: a sequence is right if its absolute error is under 0.04; training ends when
// the last 2,000 sequences were right and their mean absolute error is under 0.01; then 2,560 fresh sequences are
// tested. The LSTM learns it; a tanh network of the same size, with as many sequences, does no better than always
// saying 0.5.
//
// Longer: adding --length 400 --steps 20000
#include <cmath>

#include <rewind/rewind.h>

#include "step.h"
#include "task.h"

using namespace rw;

namespace {

constexpr Index batch = 100, hidden = 64, test_sequences = 2560;

struct Batch {
  Array x;  // [T, N, 2]: the number, and its mark: 1; -1 at the first and the last step; otherwise 0
  Array y;  // [N, 1]
};

Batch draw(Rng& rng, Index length, Index n) {
  const Index steps = length + rng.below(length / 10 + 1);  // the same in all of a batch
  Batch b{zeros(steps, n, 2), zeros(n, 1)};
  const auto x = b.x.span<float>(), y = b.y.span<float>();
  for (Index i = 0; i < n; ++i) {
    const auto at = [&](Index t, Index feature) -> float& {
      return x[static_cast<std::size_t>((t * n + i) * 2 + feature)];
    };
    for (Index t = 0; t < steps; ++t) at(t, 0) = static_cast<float>(rng.uniform(-1, 1));
    at(0, 1) = at(steps - 1, 1) = -1;
    const Index first = rng.below(10);
    Index second = rng.below(length / 2 - 1);
    while (second == first) second = rng.below(length / 2 - 1);
    float sum = 0;
    for (Index t : {first, second}) {
      at(t, 1) = 1;
      if (t == 0) at(t, 0) = 0;  // as in the paper, whose first mark is both
      sum += at(t, 0);
    }
    y[static_cast<std::size_t>(i)] = 0.5F + sum / 4;
  }
  return b;
}

/// Sequences that are right, in a row up to now and in all, and the sum of absolute errors.
struct Tally {
  Index sequences = 0, right = 0, right_in_a_row = 0;
  double error = 0, recent_error = 0;  // the sum; a running mean over some 2,000 sequences

  void add(Tensor answer, const Array& y) {
    const Array a = answer.array();
    for (std::size_t i = 0; i < a.span<float>().size(); ++i) {
      const double e = std::abs(a.span<float>()[i] - y.span<float>()[i]);
      ++sequences;
      right += e < 0.04 ? 1 : 0;
      right_in_a_row = e < 0.04 ? right_in_a_row + 1 : 0;
      error += e;
      recent_error += (e - recent_error) / static_cast<double>(std::min<Index>(sequences, 2000));
    }
  }
  double share() const { return static_cast<double>(right) / static_cast<double>(sequences); }
};

struct Outcome {
  Index trained = 0;  // sequences
  bool criterion = false;
  Tally test;
};

/// Trains until the criterion is met, for `updates` at most, and tests.
template <class Cell>
Outcome learn(Task& task, Cell cell, Rng& rng, Index updates) {
  const Index length = task.count("length", 20);
  const std::string name = cell.name();
  const Readout network{std::move(cell), Linear(hidden, 1, rng), {.return_sequences = false}};
  const auto parameters = network.parameters();
  Adam adam(parameters, {.rate = 2e-3});
  Rng data = rng.split(1), fresh = rng.split(2);

  const Batch example = draw(data, length, batch);
  auto update = make_step(
      task,
      [&](Tape&, Tensor x, Tensor y) {
        const Tensor answer = network(x), loss = mse(answer, y);
        backward(loss);
        return std::pair(loss, answer);
      },
      example.x, example.y);
  auto answer = make_step(
      task, [&](Tape&, Tensor x) { return network(x); }, example.x);

  Outcome out;
  Tally train;
  for (Index i = 1; i <= updates && !out.criterion; ++i) {
    const Batch b = draw(data, length, batch);
    const auto [loss, y] = update(b.x, b.y);
    train.add(y, b.y);
    clip_grad_norm(parameters, 1);
    adam.step();
    out.trained += batch;
    out.criterion = train.right_in_a_row >= 2000 && train.recent_error < 0.01;
    task.progress(name, i, updates, "squared error ", loss.item(), "  right in a row ", train.right_in_a_row);
  }
  while (out.test.sequences < test_sequences) {
    const Batch b = draw(fresh, length, test_sequences / 20);
    out.test.add(answer(b.x), b.y);
  }
  return out;
}

int adding(Task& task) {
  Rng rng(task.seed());
  Rng lstm_rng = rng.split(1), rnn_rng = rng.split(2);
  const Outcome lstm = learn(task, LstmCell(2, hidden, lstm_rng), lstm_rng, task.count("steps"));
  const Outcome rnn = learn(task, RnnCell(2, hidden, rnn_rng), rnn_rng, lstm.trained / batch);
  const double error = lstm.test.error / test_sequences;
  const bool ok = task.quick() ? error < 0.06 && error < rnn.test.error / test_sequences
                               : lstm.criterion && lstm.test.share() > 0.99 && rnn.test.share() < 0.5;
  return task.result(ok, "LSTM: criterion ", lstm.criterion ? "met" : "not met", " after ", lstm.trained,
                     " sequences, then ", lstm.test.right, " of ", test_sequences,
                     " fresh ones right, mean absolute error ", error, "; tanh RNN after as many: ", rnn.test.right,
                     ", mean absolute error ", rnn.test.error / test_sequences);
}

}  // namespace

int main(int argc, char** argv) {
  return run_task(argc, argv, {{"steps", "6000", "200"}, {"length", "100", "20"}}, adding);
}

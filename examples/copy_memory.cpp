// Copy memory (Hochreiter and Schmidhuber, 1997; in this form Arjovsky, Shah and Bengio, "Unitary evolution recurrent
// neural networks", 2016), T = 50: read ten symbols of eight kinds, wait for T steps, and at a signal write them out.
// Who remembers nothing knows when to write but not what: cross entropy 10 ln 8 / (T + 20) a step. Tested on 2,000
// fresh sequences.
//
// Longer: copy_memory --length 100 --steps 20000
#include <cmath>

#include <rewind/rewind.h>

#include "step.h"
#include "task.h"

using namespace rw;

namespace {

constexpr Index batch = 32, kinds = 8, word = 10, test_sequences = 2000;
constexpr std::int32_t blank = kinds, signal = kinds + 1;

struct Batch {
  Array x, y;     // [T + 20, N]: symbols
  Array written;  // [T + 20, N]: 1 where one of the ten is to be written
};

Batch draw(Rng& rng, Index length, Index n) {
  const Index steps = length + 2 * word;
  Batch b{full({steps, n}, blank, DType::i32), full({steps, n}, blank, DType::i32), zeros(steps, n)};
  const auto x = b.x.span<std::int32_t>(), y = b.y.span<std::int32_t>();
  for (Index i = 0; i < n; ++i) {
    for (Index t = 0; t < word; ++t) {
      const auto symbol = static_cast<std::int32_t>(rng.below(kinds));
      x[static_cast<std::size_t>(t * n + i)] = symbol;
      y[static_cast<std::size_t>((steps - word + t) * n + i)] = symbol;
      b.written.span<float>()[static_cast<std::size_t>((steps - word + t) * n + i)] = 1;
    }
    x[static_cast<std::size_t>((steps - word - 1) * n + i)] = signal;
  }
  return b;
}

int copy_memory(Task& task) {
  const Index length = task.count("length", 10), updates = task.count("steps"), hidden = task.count("hidden");
  const double baseline = word * std::log(kinds) / static_cast<double>(length + 2 * word);
  Rng rng(task.seed());
  Rng data = rng.split(1), fresh = rng.split(2);
  const Readout network{LstmCell(kinds + 2, hidden, rng, {.forget_bias = task.number("forget")}),
                        Linear(hidden, kinds + 1, rng)};
  const auto parameters = network.parameters();
  Adam adam(parameters);
  const Schedule rate = falling(task.number("rate"), updates);

  const Batch example = draw(data, length, batch);
  auto update = make_step(
      task,
      [&](Tape&, Tensor x, Tensor y) {
        const Tensor loss = cross_entropy(network(x), y);
        backward(loss);
        return loss;
      },
      example.x, example.y);
  auto logits = make_step(
      task, [&](Tape&, Tensor x) { return network(x); }, example.x);

  for (Index i = 0; i < updates; ++i) {
    const Index tenth = std::min<Index>(20 * i / updates, 9);  // ten lengths: ten plans
    const Batch b = draw(data, length * (tenth + 1) / 10, batch);
    const double loss = update(b.x, b.y).item();
    clip_grad_norm(parameters, 1);
    adam.set_rate(rate(i));
    adam.step();
    task.progress("lstm", i + 1, updates, "T ", b.x.shape()[0] - 2 * word, "  cross entropy ", loss);
  }
  Score all, written;
  for (Index i = 0; i < test_sequences; i += 100) {
    const Batch b = draw(fresh, length, 100);
    const ConstView answer = logits(b.x).value();
    all.add(answer, b.y);
    written.add(answer, b.y, b.written);
  }
  return task.result(all.nats() <= (task.quick() ? 1 : 0.1) * baseline, "cross entropy ", all.nats(), ", ",
                     all.nats() / baseline, " of the ", baseline, " without memory; ", 100 * written.accuracy(),
                     "% of the symbols right");
}

}  // namespace

int main(int argc, char** argv) {
  return run_task(argc, argv,
                  {{"steps", "2500", "400"},
                   {"length", "50", "10"},
                   {"hidden", "128", "64"},
                   {"forget", "4", "2"},
                   {"rate", "0.008", "0.008"}},
                  copy_memory);
}

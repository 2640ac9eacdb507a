// Temporal order (Hochreiter and Schmidhuber, "Long short-term memory", 1997, experiment 6): of 100 to 110 symbols, two
// (or, with --marks 3, three) far apart are X or Y, all others a, b, c or d at random, between E at the start and B at
// the end. After the end, which of XX, XY, YX, YY was it? Tested on 2,560 fresh sequences.
//
// Longer: temporal_order --marks 3 --steps 10000
#include <rewind/rewind.h>

#include "step.h"
#include "task.h"

using namespace rw;

namespace {

constexpr Index batch = 64, hidden = 64, test_sequences = 2560, symbols = 8;  // E B a b c d X Y
enum : std::int32_t { E, B, a, X = 6 };

struct Batch {
  Array x;  // [T, N] symbols
  Array y;  // [N] class: X is 0 and Y 1, in binary, the first mark most significant
};

/// Where a mark may be, in percent of the length: as in experiments 6a and 6b.
struct Range {
  Index from, to;
};
std::vector<Range> places(Index marks) {
  if (marks == 2) return {{10, 20}, {50, 60}};
  if (marks == 3) return {{10, 20}, {33, 43}, {66, 76}};
  throw Error("--marks takes 2 or 3");
}

Batch draw(Rng& rng, const std::vector<Range>& places, Index length, Index n) {
  const Index steps = length + rng.below(length / 10 + 1);  // the same in all of a batch
  Batch batch{zeros({steps, n}, DType::i32), zeros({n}, DType::i32)};
  const auto x = batch.x.span<std::int32_t>(), y = batch.y.span<std::int32_t>();
  for (Index i = 0; i < n; ++i) {
    const auto at = [&](Index t) -> std::int32_t& { return x[static_cast<std::size_t>(t * n + i)]; };
    for (Index t = 0; t < steps; ++t) at(t) = a + static_cast<std::int32_t>(rng.below(4));
    at(0) = E;
    at(steps - 1) = B;
    for (const Range& place : places) {
      const Index t = (place.from + rng.below(place.to - place.from + 1)) * length / 100;
      const auto mark = static_cast<std::int32_t>(rng.below(2));
      at(t) = X + mark;
      y[static_cast<std::size_t>(i)] = 2 * y[static_cast<std::size_t>(i)] + mark;
    }
  }
  return batch;
}

int temporal_order(Task& task) {
  const Index length = task.count("length", 10), updates = task.count("steps"), marks = task.count("marks");
  const auto where = places(marks);
  Rng rng(task.seed());
  Rng data = rng.split(1), fresh = rng.split(2);
  const Readout network{LstmCell(symbols, hidden, rng), Linear(hidden, 1 << marks, rng), {.return_sequences = false}};
  const auto parameters = network.parameters();
  Adam adam(parameters, {.rate = 3e-3});

  const Batch example = draw(data, where, length, batch);
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

  for (Index i = 1; i <= updates; ++i) {
    const Batch b = draw(data, where, length, batch);
    const double loss = update(b.x, b.y).item();
    clip_grad_norm(parameters, 1);
    adam.step();
    task.progress("lstm", i, updates, "cross entropy ", loss);
  }
  Score score;
  while (score.count() < test_sequences) {
    const Batch b = draw(fresh, where, length, batch);
    score.add(logits(b.x).value(), b.y);
  }
  return task.result(score.accuracy() >= (task.quick() ? 0.9 : 0.99), "accuracy ", 100 * score.accuracy(), "% of ",
                     test_sequences, " fresh sequences, after ", updates * batch);
}

}  // namespace

int main(int argc, char** argv) {
  return run_task(argc, argv, {{"steps", "1500", "150"}, {"length", "100", "30"}, {"marks", "2", "2"}}, temporal_order);
}

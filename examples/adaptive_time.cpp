// Adaptive computation time (Graves, "Adaptive computation time for recurrent neural networks", 2016): a recurrent cell
// ponders each input for as many steps as it likes before it answers, and pays for them. The task is his first one:
// of a vector of which some numbers are 1 or -1 and the others 0, is the number of ones odd?
#include <rewind/rewind.h>

#include "step.h"
#include "task.h"

using namespace rw;

namespace {

constexpr Index batch = 128, hidden = 64, most_steps = 10;
constexpr double margin = 0.01;  // it halts when the probabilities of its steps come to 1 - margin

struct Batch {
  Array x;  // [N, size]
  Array y;  // [N] 0 or 1
};

Batch draw(Rng& rng, Index size, Index n) {
  Batch b{zeros({n, size}), zeros({n}, DType::i32)};
  for (Index i = 0; i < n; ++i) {
    const Index used = 1 + rng.below(size);
    for (Index k = 0; k < used; ++k) {
      const bool one = rng.below(2) == 1;
      b.x.span<float>()[static_cast<std::size_t>(i * size + k)] = one ? 1 : -1;
      if (one) b.y.span<std::int32_t>()[static_cast<std::size_t>(i)] ^= 1;
    }
  }
  return b;
}

/// While a cell ponders: its own state, what it has given so far, and of each sequence the sum of its probabilities to
/// halt, [N, 1].
struct Pondering {
  LstmCell::State cell;
  Tensor output;  // [N, H], weighted by the probabilities
  Tensor sum;     // of probabilities to halt
  Tensor steps;   // how many were taken
  Tensor cost;    // steps and what was left over: what pondering costs
};

class Ponderer : public Module {
 public:
  Ponderer(Index in, Rng& rng)
      : Module("ponderer"),
        cell_(child("cell", LstmCell(in + 1, hidden, rng))),
        halt_(child("halt", Linear(hidden, 1, rng))),
        answer_(child("answer", Linear(hidden, 2, rng))) {}

  /// Logits [N, 2], steps and cost [N, 1].
  std::tuple<Tensor, Tensor, Tensor> operator()(Tensor x) const {
    Tape& tape = x.tape();
    const Index n = x.size(0);
    const Tensor none = tape.constant(0, {n, 1});
    const auto runs = [](const Pondering& p) { return min(p.sum) < 1 - margin; };
    const Pondering end = while_loop(
        runs, [&](const Pondering& p) { return ponder(x, p); },
        Pondering{cell_.zero_state(tape, n), tape.constant(0, {n, hidden}), none, none, none}, {.at_most = most_steps});
    return {answer_(end.output), end.steps, end.cost};
  }

 private:
  Pondering ponder(Tensor x, const Pondering& p) const {
    const Tensor first = p.steps.tape().constant(1, {x.size(0), 1}) - minimum(p.steps, 1);  // 1 at the first step
    const auto state = cell_.step(concat({x, first}, 1), p.cell);
    const Tensor h = sigmoid(halt_(state.h) + 1), open = p.sum < 1 - margin;
    const Tensor last = logical_or(p.sum + h >= 1 - margin, p.steps >= most_steps - 1);
    const Tensor weight = open * where(last, 1 - p.sum, h);  // what is left over, at the last step
    return {state, p.output + weight * state.h, p.sum + weight, p.steps + open,
            p.cost + open * (1 + where(last, 1 - p.sum, 0))};
  }
  LstmCell& cell_;
  Linear &halt_, &answer_;
};

int adaptive_time(Task& task) {
  const Index updates = task.count("steps"), size = task.count("size");
  Rng rng(task.seed());
  Rng data = rng.split(1), fresh = rng.split(2);
  const Ponderer network(size, rng);
  const auto parameters = network.parameters();
  Adam adam(parameters, {.rate = 3e-3});
  const Batch example = draw(data, size, batch);
  auto update = make_step(
      task,
      [&](Tape&, Tensor x, Tensor y) {
        const auto [logits, steps, cost] = network(x);
        const Tensor loss = cross_entropy(logits, y);
        backward(loss + 0.01 * mean(cost));
        return std::pair(loss, mean(steps));
      },
      example.x, example.y);
  auto answer = make_step(
      task, [&](Tape&, Tensor x) { return std::pair(std::get<0>(network(x)), mean(std::get<1>(network(x)))); },
      example.x);
  for (Index i = 1; i <= updates; ++i) {
    const Batch b = draw(data, size, batch);
    const auto [loss, steps] = update(b.x, b.y);
    const double now = loss.item(), taken = steps.item();
    clip_grad_norm(parameters, 1);
    adam.step();
    task.progress("ponder", i, updates, "cross entropy ", now, ", steps ", taken);
  }
  Score score;
  double steps = 0;
  for (Index i = 0; i < 20; ++i) {
    const Batch b = draw(fresh, size, batch);
    const auto [logits, taken] = answer(b.x);
    score.add(logits.value(), b.y);
    steps += taken.item() / 20;
  }
  return task.result(score.accuracy() >= (task.quick() ? 0.9 : 0.99), "parity of ", size,
                     " numbers: ", 100 * score.accuracy(), "% of ", score.count(), " right, after ", steps,
                     " steps of pondering each");
}

}  // namespace

int main(int argc, char** argv) {
  return run_task(argc, argv, {{"steps", "6000", "700"}, {"size", "12", "5"}}, adaptive_time);
}

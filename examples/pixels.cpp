// One pixel at a time: a digit of 12 x 12 is read row by row, 144 steps of one number each, and named at the end, as
// Le, Jaitly and Hinton (2015) do with sequential MNIST. What the first rows showed must survive all that follow. It is
// said that an LSTM learns this and a tanh RNN does not; here that is a matter of how its recurrent weights start. From
// small random numbers (uniform up to 1 / sqrt(hidden), as in PyTorch) each step back makes a gradient shorter, and it
// learns slowly; from an orthogonal matrix, which keeps its length, it learns faster than the LSTM. Digits are drawn by
// a shaky hand, anew for every update (digits.h). Asked for are 90% of fresh digits of the LSTM, and fewer than its of
// the tanh RNN that starts small.
//
// Wider, where the tanh RNN needs a lower rate: pixels --hidden 64 --rate 5e-4
// As many steps as MNIST has, which takes far longer: pixels --side 28
#include <cmath>

#include <rewind/rewind.h>

#include "digits.h"
#include "step.h"
#include "task.h"

using namespace rw;

namespace {

constexpr Index batch = 64;

struct Batch {
  Array x, y;  // [pixels, N, 1], [N] digits
};

Batch draw(Rng& rng, Index side) {
  Batch b{zeros(side * side, batch, 1), zeros({batch}, DType::i32)};
  for (Index n = 0; n < batch; ++n) {
    const Index digit = rng.below(10);
    b.y.set({n}, static_cast<double>(digit));
    Index t = 0;
    for (const float pixel : draw_digit(digit, rng, side)) b.x.set({t++, n, 0}, pixel);
  }
  return b;
}

/// Trains, and gives the part of fresh digits that are named right.
template <class Net>
double learn(Task& task, const std::string& name, const Net& net) {
  const Index side = task.count("side", 1, 100);
  Rng data = Rng(task.seed()).split(1), fresh = Rng(task.seed()).split(2);
  const auto parameters = net.parameters();
  Adam adam(parameters, {});
  const Batch example = draw(data, side);
  auto update = make_step(
      task,
      [&](Tape&, Tensor x, Tensor y) {
        const Tensor loss = cross_entropy(net(x), y);
        backward(loss);
        return loss;
      },
      example.x, example.y);
  auto read = make_step(
      task, [&](Tape&, Tensor x) { return net(x); }, example.x);
  const Index updates = task.count("steps");
  const Schedule rate = falling(task.number("rate"), updates, 0.5);
  for (Index i = 1; i <= updates; ++i) {
    const Batch b = draw(data, side);
    const double loss = update(b.x, b.y).item();
    clip_grad_norm(parameters, 1);
    adam.set_rate(rate(i - 1));
    adam.step();
    task.progress(name, i, updates, "cross entropy ", loss);
  }
  Score score;
  for (Index i = 0; i < (task.quick() ? 4 : 40); ++i) {
    const Batch b = draw(fresh, side);
    score.add(read(b.x).value(), b.y);
  }
  return score.accuracy();
}

int read_pixels(Task& task) {
  const Index hidden = task.count("hidden", 1), plain = 2 * hidden;  // four gates are twice as wide a matrix
  Rng rng(task.seed());
  const Readout lstm{LstmCell(1, hidden, rng), Linear(hidden, 10, rng), {.return_sequences = false}};
  const auto tanh_rnn = [&](Init start) {
    return Readout{RnnCell(1, plain, rng, {.recurrent = start}), Linear(plain, 10, rng), {.return_sequences = false}};
  };
  const Readout small = tanh_rnn(Init::uniform(1 / std::sqrt(static_cast<double>(plain))));
  const Readout orthogonal = tanh_rnn(Init::orthogonal());
  const double gates = learn(task, "LSTM", lstm), fades = learn(task, "tanh RNN, small", small),
               keeps = learn(task, "tanh RNN, orthogonal", orthogonal);
  const bool ok = task.quick() ? gates > 0.25 && keeps > fades : gates >= 0.9 && fades < gates;
  return task.result(ok, "fresh digits named right, read pixel by pixel: LSTM ", 100 * gates, "% (",
                     lstm.parameter_count(), " parameters), tanh RNN ", 100 * fades, "% from small random numbers and ",
                     100 * keeps, "% from an orthogonal matrix (", small.parameter_count(), ")");
}

}  // namespace

int main(int argc, char** argv) {
  return run_task(argc, argv,
                  {{"steps", "2000", "100"}, {"hidden", "32", "32"}, {"side", "12", "12"}, {"rate", "3e-3", "3e-3"}},
                  read_pixels);
}

// A recurrent cell of one's own: trained to remember its first input over 20 steps, its graph written to own_cell.dot.
#include <fstream>
#include <iostream>

#include <rewind/rewind.h>

using namespace rw;

/// Update gate RNN (Collins, Sohl-Dickstein and Sussillo, 2017): one gate keeps the old state or takes the new one.
class UgrnnCell : public Module {
 public:
  struct State {
    Tensor h;  // [N, H]
  };
  UgrnnCell(Index in, Index hidden, Rng& rng)
      : Module("ugrnn"),
        W_(param("W", glorot(rng, in, 2 * hidden))),
        R_(param("R", glorot(rng, hidden, 2 * hidden))),
        b_(param("b", zeros(2 * hidden))),
        hidden_(hidden) {}
  State zero_state(Tape& tape, Index batch) const { return {tape.constant(0, {batch, hidden_})}; }
  State step(Tensor x, State s) const {
    const auto [zg, zn] = split<2>(matmul(x, W_) + matmul(s.h, R_) + b_);
    const Tensor g = sigmoid(zg), n = tanh(zn);
    return {n + g * (s.h - n)};
  }

 private:
  Parameter &W_, &R_, &b_;
  Index hidden_;
};

int main() {
  constexpr Index steps = 20, batch = 64, hidden = 24;
  if (const CellReport report = check_cell<UgrnnCell>(); !report.ok()) {
    std::cerr << report;
    return 1;
  }
  Rng rng(1);
  UgrnnCell cell(1, hidden, rng);
  Linear head(hidden, 1, rng);
  auto parameters = cell.parameters();
  for (const NamedParameter& p : head.parameters()) parameters.push_back(p);
  Adam adam(parameters, {.rate = 0.005});

  Tape tape;
  double error = 0;
  for (int update = 0; update <= 600; ++update) {
    const Array x = uniform(rng, {steps, batch, 1}, -1, 1);
    tape.clear();
    const Tensor input = tape.constant(x);
    const auto states = unroll(cell, input, cell.zero_state(tape, batch));
    const Tensor loss = mse(head(states.back().h), at_step(input, 0));
    backward(loss);
    clip_grad_norm(parameters, 1);
    adam.step();
    error = loss.item();
    if (update % 100 == 0) std::cout << "update " << update << "  squared error " << error << '\n';
  }
  std::ofstream file("own_cell.dot");
  write_dot(file, tape, {.fold_time = true});
  std::cout << "result: squared error " << error << " (guessing 0: 0.333); the graph is in own_cell.dot\n";
}

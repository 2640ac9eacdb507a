// Makes the two headers that the programs beside it include: an LSTM of 20 units that has learnt to sound like a
// distortion circuit (distortion.h), and a GRU of 8 units that has learnt nothing yet and will (controller.h).
//
//     learn [--quick] [FOLDER]
#include <cstdio>
#include <string>

#include <rewind/models/weights/file.h>
#include <rewind/rewind.h>
#include <rewind/tools/export/header.h>

#include "circuit.h"

using namespace rw;

namespace {

constexpr Index batch = 32, warm_up = 64, length = 384;

/// Sequences from anywhere in the signal, [length, batch, 1].
struct Batch {
  Array x{Shape{length, batch, 1}}, target{Shape{length - warm_up, batch, 1}};

  void draw(const std::vector<float>& from, const std::vector<float>& to, Rng& rng) {
    for (Index n = 0; n < batch; ++n) {
      const auto begin = static_cast<std::size_t>(rng.below(static_cast<Index>(from.size()) - length));
      for (Index t = 0; t < length; ++t) {
        const std::size_t at = begin + static_cast<std::size_t>(t);
        x.span<float>()[static_cast<std::size_t>(t * batch + n)] = from[at];
        if (t >= warm_up) target.span<float>()[static_cast<std::size_t>((t - warm_up) * batch + n)] = to[at];
      }
    }
  }
};

void learn(const Readout<LstmCell>& network, Index updates) {
  const std::vector<float> signal = circuit::plucked(30, 1), wanted = circuit::distorted(signal);
  Rng rng(2);
  Batch data;
  data.draw(signal, wanted, rng);
  auto step = compile(
      [&](Tape&, Tensor x, Tensor target) {  // the state needs some steps to become what it would be
        const Tensor loss = mse(slice(network(x), 0, warm_up, length - warm_up), target);
        backward(loss);
        return loss;
      },
      data.x, data.target);
  Adam adam(network.parameters());
  double mean = 0;
  for (Index i = 0; i < updates; ++i) {
    adam.set_rate(0.01 * std::pow(0.01, static_cast<double>(i) / static_cast<double>(updates)));
    data.draw(signal, wanted, rng);
    mean += step(data.x, data.target).item() / 100;
    clip_grad_norm(network.parameters(), 1);
    adam.step();
    if (i % 100 == 99) {
      std::printf("update %5ld: squared error %.6f\n", static_cast<long>(i + 1), mean);
      std::fflush(stdout);
      mean = 0;
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  bool quick = false;
  std::string folder = ".";
  for (int i = 1; i < argc; ++i)
    if (std::string(argv[i]) == "--quick")
      quick = true;
    else
      folder = argv[i];

  Rng rng(1);
  const Readout<LstmCell> effect{LstmCell(1, 20, rng), Linear(20, 1, rng)};
  learn(effect, quick ? 100 : 6000);
  write_file(folder + "/distortion.h", make_header(record_step(effect, 1), {.name = "distortion"}).text);

  const Readout<GruCell> controller{GruCell(3, 8, rng), Linear(8, 1, rng)};
  const auto squares = [](Tensor y, Tensor target) { return mse(y, target); };
  write_file(
      folder + "/controller.h",
      make_header(record_training(controller, 3, squares), {.name = "controller"}, {.window = 16, .rate = 3e-3}).text);
}

// An LSTM whose weight matrices are diagonal, over a sequence; the gradient is by all weights.

#include <array>
#include <cmath>

#include <rewind/autograd/transform/derivatives.h>
#include <rewind/ops/activation.h>
#include <rewind/ops/arithmetic.h>
#include <rewind/ops/reduce.h>
#include <rewind/ops/view.h>

#include "evals.h"

namespace rw::bench::gradbench {
namespace {

// main [2 layers, 4 b]: of each layer weights and biases of the forget gate, input gate, output gate and what is
// written; extra [3, b]: factors of the input and of the output, and a shift; state [2 layers, b]: h and c of each
// layer.
Tensor loss(Tensor state, Tensor sequence, Tensor main, Tensor extra) {
  const Index layers = main.size(0) / 2, T = sequence.size(0), b = sequence.size(1);
  std::vector<Tensor> h, c;
  std::vector<std::array<Tensor, 4>> w, bias;
  for (Index l = 0; l < layers; ++l) {
    h.push_back(select(state, 0, 2 * l));
    c.push_back(select(state, 0, 2 * l + 1));
    w.push_back(split<4>(select(main, 0, 2 * l)));
    bias.push_back(split<4>(select(main, 0, 2 * l + 1)));
  }
  std::vector<Tensor> predictions;
  for (Index t = 0; t + 1 < T; ++t) {
    Tensor x = select(sequence, 0, t) * select(extra, 0, 0);
    for (std::size_t l = 0; l < h.size(); ++l) {
      const Tensor f = sigmoid(x * w[l][0] + bias[l][0]), i = sigmoid(h[l] * w[l][1] + bias[l][1]);
      const Tensor o = sigmoid(x * w[l][2] + bias[l][2]), g = tanh(h[l] * w[l][3] + bias[l][3]);
      c[l] = c[l] * f + i * g;
      x = h[l] = o * tanh(c[l]);
    }
    predictions.push_back(x * select(extra, 0, 1) + select(extra, 0, 2));
  }
  const Tensor all = stack(predictions);
  const Tensor lse = log(sum(exp(all), 1, true) + 2.0);
  return sum(slice(sequence, 0, 1, T - 1) * (all - lse)) * (-1.0 / static_cast<double>((T - 1) * b));
}

double plain_loss(const json& input) {
  const auto rows = [&](const char* name) { return input.at(name).get<std::vector<Numbers>>(); };
  const auto main = rows("main_params"), extra = rows("extra_params"), sequence = rows("sequence");
  auto state = rows("state");
  const auto sigmoid = [](double x) { return 1 / (1 + std::exp(-x)); };
  const std::size_t b = extra[0].size();
  double total = 0;
  for (std::size_t t = 0; t + 1 < sequence.size(); ++t) {
    Numbers x(b);
    for (std::size_t k = 0; k < b; ++k) x[k] = sequence[t][k] * extra[0][k];
    for (std::size_t l = 0; l < main.size(); l += 2) {
      Numbers &h = state[l], &c = state[l + 1];
      const auto gate = [&](std::size_t g, std::size_t k, double in) {
        return in * main[l][g * b + k] + main[l + 1][g * b + k];
      };
      for (std::size_t k = 0; k < b; ++k) {
        c[k] = c[k] * sigmoid(gate(0, k, x[k])) + sigmoid(gate(1, k, h[k])) * std::tanh(gate(3, k, h[k]));
        x[k] = h[k] = sigmoid(gate(2, k, x[k])) * std::tanh(c[k]);
      }
    }
    double sum = 2;
    for (std::size_t k = 0; k < b; ++k) sum += std::exp(x[k] = x[k] * extra[1][k] + extra[2][k]);
    for (std::size_t k = 0; k < b; ++k) total += sequence[t + 1][k] * (x[k] - std::log(sum));
  }
  return -total / static_cast<double>((sequence.size() - 1) * b);
}

}  // namespace

Eval lstm_eval() {
  return {"lstm", {"objective", "jacobian"}, [](std::string_view function, const json& input, Engine engine) -> Work {
            if (engine == Engine::plain && function == "objective")
              return plain([input] { return json(plain_loss(input)); });
            if ((function != "objective" && function != "jacobian") || engine == Engine::plain)
              no_function("lstm", function);
            const Record record = [derive = function == "jacobian"](Tape&, const std::vector<Tensor>& at) {
              const auto f = [&](Tensor main, Tensor extra) { return loss(at[0], at[1], main, extra); };
              if (!derive) return std::vector<Tensor>{f(at[2], at[3])};
              const auto [main, extra] = value_and_grad(f, std::tuple(at[2], at[3])).second;
              return std::vector<Tensor>{main, extra};
            };
            return ours(engine, record,
                        {matrix_of(input.at("state")), matrix_of(input.at("sequence")),
                         matrix_of(input.at("main_params")), matrix_of(input.at("extra_params"))},
                        function == "objective" ? number : list);
          }};
}

}  // namespace rw::bench::gradbench

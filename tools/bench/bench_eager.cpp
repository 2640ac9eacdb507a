// Rewind's eager engine beside libtorch's C++ API, one thread, f32: a small op with and without its backward, and the
// training step of a composed LSTM. No contender computes the gradient of x.
// usage: bench_eager [rounds]

#include <torch/torch.h>

#include <rewind/rewind.h>

#include "contest.h"

namespace {

using rw::Index;
using rw::bench::Contender;

constexpr int chain_length = 10000;

// ---- A chain of small ops: tanh and mul in turn, on 16 numbers ------------------------------------------------------

// The factor is 1: with another one the gradient decays to denormal numbers, and the processor's slow path for them
// would be what is measured.
rw::Tensor rewind_chain(rw::Tape& tape, const rw::Array& start) {
  const rw::Tensor x = tape.variable(start);
  rw::Tensor y = x;
  for (int i = 0; i < chain_length / 2; ++i) y = rw::tanh(y) * x;
  return y;
}

torch::Tensor torch_chain(const torch::Tensor& x) {
  torch::Tensor y = x;
  for (int i = 0; i < chain_length / 2; ++i) y = torch::tanh(y) * x;
  return y;
}

void overhead(int rounds) {
  const rw::Array start = rw::full({16}, 1.0);
  rw::Tape tape;
  const torch::Tensor plain = torch::full({16}, 1.0f), leaf = torch::full({16}, 1.0f).requires_grad_();
  const Contender rewind_forward{"rewind, recorded", [&] {
                                   tape.clear();
                                   return rw::sum(rewind_chain(tape, start)).item();
                                 }};
  const Contender torch_forward{"libtorch, recording nothing", [&] {
                                  const torch::NoGradGuard guard;
                                  return torch_chain(plain).sum().item<double>();
                                }};
  rw::bench::print("a small op (16 floats)", rw::bench::contest({rewind_forward, torch_forward}, rounds),
                   1e9 / chain_length, "ns");
  const Contender rewind_both{"rewind, with backward", [&] {
                                tape.clear();
                                const rw::Tensor loss = rw::sum(rewind_chain(tape, start));
                                rw::backward(loss, {.keep_grads = false});
                                return rw::Array(tape.grad(tape.tensor(0))).at({3});
                              }};
  const Contender torch_both{"libtorch, with backward", [&] {
                               leaf.mutable_grad() = torch::Tensor();
                               torch_chain(leaf).sum().backward();
                               return leaf.grad()[3].item<double>();
                             }};
  rw::bench::print("a small op (16 floats) and its backward", rw::bench::contest({rewind_both, torch_both}, rounds),
                   1e9 / chain_length, "ns");
}

// ---- The training step of an LSTM: sum of all h, backward to the weights --------------------------------------------

struct Sizes {
  Index T, N, I, H;
};

// The same weights for everybody: [in, 4H], [H, 4H], [4H], gates i, f, g, o.
struct Weights {
  rw::Array W, R, b, x;
  explicit Weights(const Sizes& s) {
    rw::Rng rng(1);
    const auto random = [&](const rw::Shape& shape, double scale) {
      rw::Array a(shape);
      for (float& v : a.span<float>()) v = static_cast<float>(rng.uniform(-scale, scale));
      return a;
    };
    W = random({s.I, 4 * s.H}, 0.08);
    R = random({s.H, 4 * s.H}, 0.08);
    b = random({4 * s.H}, 0.08);
    x = random({s.T, s.N, s.I}, 1);
  }
};

torch::Tensor to_torch(const rw::Array& a) {
  std::vector<int64_t> sizes(a.shape().begin(), a.shape().end());
  return torch::from_blob(const_cast<void*>(a.view().data), sizes, torch::kFloat32).clone();
}

// What is compared: the loss, and a gradient.
double digest(double loss, double gradient) { return loss + gradient; }

class RewindLstm {
 public:
  RewindLstm(const Sizes& s, const Weights& w) : sizes_(s), x_(w.x), cell_(make(s)) {
    cell_.parameter("W").set(w.W);
    cell_.parameter("R").set(w.R);
    cell_.parameter("b").set(w.b);
  }
  double step() {
    tape_.clear();
    cell_.zero_grad();
    rw::unroll(cell_, tape_.constant(x_), cell_.zero_state(tape_, sizes_.N), states_);
    const rw::Tensor loss = rw::sum(rw::outputs(states_));
    rw::backward(loss);
    return digest(loss.item(), cell_.parameter("R").grad().at({0, 1}));
  }

 private:
  static rw::LstmCell make(const Sizes& s) {
    rw::Rng rng(1);
    return rw::LstmCell(s.I, s.H, rng);
  }
  Sizes sizes_;
  const rw::Array& x_;
  rw::LstmCell cell_;
  rw::Tape tape_;
  std::vector<rw::LstmCell::State> states_;
};

class TorchComposed {
 public:
  TorchComposed(const Sizes& s, const Weights& w)
      : sizes_(s), x_(to_torch(w.x)), W_(to_torch(w.W)), R_(to_torch(w.R)), b_(to_torch(w.b)) {
    for (torch::Tensor* p : {&W_, &R_, &b_}) p->requires_grad_();
  }
  double step() {
    for (torch::Tensor* p : {&W_, &R_, &b_}) p->mutable_grad() = torch::Tensor();
    torch::Tensor h = torch::zeros({sizes_.N, sizes_.H}), c = h;
    std::vector<torch::Tensor> hs;
    for (Index t = 0; t < sizes_.T; ++t) {
      const auto z = torch::matmul(x_[t], W_) + torch::matmul(h, R_) + b_;
      const auto gates = z.chunk(4, 1);
      c = torch::sigmoid(gates[1]) * c + torch::sigmoid(gates[0]) * torch::tanh(gates[2]);
      h = torch::sigmoid(gates[3]) * torch::tanh(c);
      hs.push_back(h);
    }
    const torch::Tensor loss = torch::stack(hs).sum();
    loss.backward();
    return digest(loss.item<double>(), R_.grad()[0][1].item<double>());
  }

 private:
  Sizes sizes_;
  torch::Tensor x_, W_, R_, b_;
};

class TorchLayer {
 public:
  TorchLayer(const Sizes& s, const Weights& w) : x_(to_torch(w.x)), lstm_(torch::nn::LSTMOptions(s.I, s.H)) {
    const torch::NoGradGuard guard;
    auto parameters = lstm_->named_parameters();
    parameters["weight_ih_l0"].copy_(to_torch(w.W).t());
    parameters["weight_hh_l0"].copy_(to_torch(w.R).t());
    parameters["bias_ih_l0"].copy_(to_torch(w.b));
    parameters["bias_hh_l0"].zero_();
  }
  double step() {
    lstm_->zero_grad();
    const torch::Tensor loss = std::get<0>(lstm_->forward(x_)).sum();
    loss.backward();
    return digest(loss.item<double>(), lstm_->named_parameters()["weight_hh_l0"].grad()[1][0].item<double>());
  }

 private:
  torch::Tensor x_;
  torch::nn::LSTM lstm_;
};

void lstm(const Sizes& s, int rounds) {
  const Weights weights(s);
  RewindLstm ours(s, weights);
  TorchComposed composed(s, weights);
  TorchLayer layer(s, weights);
  rw::bench::print(fmt::format("LSTM training step, T {} N {} I {} H {}", s.T, s.N, s.I, s.H),
                   rw::bench::contest({{"rewind, composed", [&] { return ours.step(); }},
                                       {"libtorch, composed", [&] { return composed.step(); }},
                                       {"libtorch nn::LSTM", [&] { return layer.step(); }}},
                                      rounds),
                   1e3, "ms");
}

}  // namespace

int main(int argc, char** argv) {
  const int rounds = argc > 1 ? std::max(1, std::atoi(argv[1])) : 9;
  torch::set_num_threads(1);
  rw::set_threads(1);
  overhead(rounds);
  for (const Sizes& s : {Sizes{50, 1, 16, 16}, Sizes{50, 16, 32, 32}, Sizes{50, 32, 128, 128}, Sizes{50, 64, 256, 256},
                         Sizes{50, 64, 512, 512}, Sizes{25, 128, 1024, 1024}})
    lstm(s, rounds);
}

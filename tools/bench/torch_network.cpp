// libtorch's contenders: its layers, and the same cells composed of its ops.

#include <algorithm>

#include <torch/torch.h>

#include "cells.h"
#include "peers.h"
#include "torch_array.h"
#include "torch_threads.h"

namespace rw::bench {

namespace {

std::vector<double> picked(const torch::Tensor& t) {
  const torch::Tensor plain = t.detach().contiguous();
  return sample(plain.data_ptr<float>(), plain.numel());
}

/// What both forms do around the network itself.
class TorchNetwork : public Network {
 public:
  TorchNetwork(const Problem& p, const Inputs& inputs) : p_(p), x_(to_torch(inputs.x)) {
    x_.requires_grad_(p.train && p.gradient_of_x);
  }
  void run() override {
    const BlasThreadsAlone threads;
    if (!p_.train) {
      const torch::InferenceMode guard;
      out_ = outputs();
      loss_ = out_.sum();
      return;
    }
    x_.mutable_grad() = torch::Tensor();
    for (torch::Tensor& w : weights()) w.mutable_grad() = torch::Tensor();
    out_ = outputs();
    loss_ = out_.sum();
    loss_.backward();
  }
  Result result() override {
    Result out{{"h", picked(out_[-1])}};
    if (!p_.train) return out;
    add_gradients(out);
    if (p_.gradient_of_x) out.push_back({"gradient of x", picked(x_.grad())});
    return out;
  }

 protected:
  virtual torch::Tensor outputs() = 0;
  virtual std::vector<torch::Tensor> weights() = 0;
  virtual void add_gradients(Result& out) = 0;

  Problem p_;
  torch::Tensor x_, out_, loss_;
};

template <class Layer, class Options>
class LayerNetwork : public TorchNetwork {
 public:
  LayerNetwork(const Problem& p, const Inputs& inputs)
      : TorchNetwork(p, inputs), layer_(Options(p.I, p.H).num_layers(p.layers).bidirectional(p.both_ways)) {
    const torch::NoGradGuard guard;
    auto named = layer_->named_parameters();
    std::size_t next = 0;
    for (Index l = 0; l < p.layers; ++l)
      for (const char* way : {"", "_reverse"}) {
        if (*way != 0 && !p.both_ways) continue;
        const LayerWeights& w = inputs.layers[next++];
        const std::string end = "_l" + std::to_string(l) + way;
        named["weight_ih" + end].copy_(to_torch(w.W).t());
        named["weight_hh" + end].copy_(to_torch(w.R).t());
        named["bias_ih" + end].copy_(to_torch(w.b));
        named["bias_hh" + end].zero_();
      }
    weights_ = layer_->parameters();
    if (!p.train) layer_->eval();
  }

 protected:
  torch::Tensor outputs() override {
    if (!p_.carry) return std::get<0>(layer_->forward(x_));
    auto [out, state] = started_ ? layer_->forward(x_, state_) : layer_->forward(x_);
    state_ = state, started_ = true;
    return out;
  }
  std::vector<torch::Tensor> weights() override { return weights_; }
  void add_gradients(Result& out) override {
    const auto named = layer_->named_parameters();
    out.push_back({"gradient of W", picked(named["weight_ih_l0"].grad().t())});
    out.push_back({"gradient of R", picked(named["weight_hh_l0"].grad().t())});
    out.push_back({"gradient of b", picked(named["bias_ih_l0"].grad())});
  }

 private:
  Layer layer_;
  std::vector<torch::Tensor> weights_;
  std::tuple_element_t<1, decltype(std::declval<Layer&>()->forward(torch::Tensor()))> state_;
  bool started_ = false;
};

class LengthsNetwork : public LayerNetwork<torch::nn::LSTM, torch::nn::LSTMOptions> {
 public:
  LengthsNetwork(const Problem& p, const Inputs& inputs, std::vector<Index> lengths)
      : LayerNetwork(p, inputs), all_(x_), lengths_(std::move(lengths)) {}
  void run() override {
    for (const Index t : lengths_) {
      x_ = all_.narrow(0, 0, t);
      LayerNetwork::run();
    }
  }

 private:
  torch::Tensor all_;
  std::vector<Index> lengths_;
};

struct Ops {
  template <std::size_t n>
  static std::array<torch::Tensor, n> split(const torch::Tensor& x) {
    const std::vector<torch::Tensor> parts = x.chunk(n, -1);
    std::array<torch::Tensor, n> out;
    std::copy(parts.begin(), parts.end(), out.begin());
    return out;
  }
  static torch::Tensor piece(const torch::Tensor& x, Index start, Index length) { return x.narrow(0, start, length); }
  static torch::Tensor layer_norm(const torch::Tensor& x, const torch::Tensor& gain, const torch::Tensor& bias = {}) {
    return torch::layer_norm(x, {x.size(-1)}, gain, bias, 1e-5);
  }
};

class Composed : public TorchNetwork {
 public:
  Composed(const Problem& p, const Inputs& inputs, bool hoisted) : TorchNetwork(p, inputs), hoisted_(hoisted) {
    const LayerWeights& w = inputs.layers[0];
    w_ = {to_torch(w.W), to_torch(w.R), to_torch(w.b), to_torch(w.extra)};
    if (p.train)
      for (torch::Tensor* t : {&w_.W, &w_.R, &w_.b, &w_.extra}) t->requires_grad_();
  }

 protected:
  torch::Tensor outputs() override {
    CellState<torch::Tensor> s{torch::zeros({p_.N, p_.H}), torch::zeros({p_.N, p_.H})};
    const torch::Tensor all = hoisted_ ? project<Ops>(p_.cell, x_, w_, p_.H) : x_;
    const std::vector<torch::Tensor> xs = all.unbind(0);
    std::vector<torch::Tensor> hs;
    hs.reserve(xs.size());
    for (const torch::Tensor& x : xs) {
      s = step<Ops>(p_.cell, hoisted_ ? x : project<Ops>(p_.cell, x, w_, p_.H), s, w_, p_.H);
      hs.push_back(s.h);
    }
    return torch::stack(hs);
  }
  std::vector<torch::Tensor> weights() override { return {w_.W, w_.R, w_.b, w_.extra}; }
  void add_gradients(Result& out) override {
    out.push_back({"gradient of W", picked(w_.W.grad())});
    out.push_back({"gradient of R", picked(w_.R.grad())});
    out.push_back({"gradient of b", picked(w_.b.grad())});
    if (w_.extra.grad().defined()) out.push_back({"gradient of extra", picked(w_.extra.grad())});
  }

 private:
  bool hoisted_;
  CellWeights<torch::Tensor> w_;
};

std::unique_ptr<Network> composed(const Problem& p, const Inputs& inputs, bool hoisted) {
  if (p.layers > 1 || p.both_ways) return nullptr;
  return std::make_unique<Composed>(p, inputs, hoisted);
}

class Chain : public Network {
 public:
  Chain(Index length, bool with_backward) : length_(length), backward_(with_backward), x_(torch::full({16}, 1.0f)) {
    x_.requires_grad_(with_backward);
  }
  void run() override {
    x_.mutable_grad() = torch::Tensor();
    const torch::AutoGradMode mode(backward_);
    torch::Tensor y = x_;
    for (Index i = 0; i < length_ / 2; ++i) y = torch::tanh(y) * x_;
    out_ = y.sum();
    if (backward_) out_.backward();
  }
  Result result() override {
    Result out{{"y", {out_.item<double>()}}};
    if (backward_) out.push_back({"gradient of x", picked(x_.grad())});
    return out;
  }

 private:
  Index length_;
  bool backward_;
  torch::Tensor x_, out_;
};

class Elementwise : public Network {
 public:
  Elementwise(const std::string& op, const Array& x) : op_(op), x_(to_torch(x)), y_(torch::empty_like(x_)) {}
  void run() override {
    const torch::InferenceMode guard;
    if (op_ == "tanh") torch::tanh_out(y_, x_);
    if (op_ == "sigmoid") torch::sigmoid_out(y_, x_);
    if (op_ == "exp") torch::exp_out(y_, x_);
    if (op_ == "mul") torch::mul_out(y_, x_, x_);
  }
  Result result() override { return {{"y", picked(y_)}}; }

 private:
  std::string op_;
  torch::Tensor x_, y_;
};

}  // namespace

std::string torch_version() { return "libtorch " TORCH_VERSION; }
void torch_set_threads(int n) { torch::set_num_threads(n); }

std::unique_ptr<Network> torch_layer(const Problem& p, const Inputs& inputs) {
  switch (p.cell) {
    case Cell::lstm: return std::make_unique<LayerNetwork<torch::nn::LSTM, torch::nn::LSTMOptions>>(p, inputs);
    case Cell::gru: return std::make_unique<LayerNetwork<torch::nn::GRU, torch::nn::GRUOptions>>(p, inputs);
    case Cell::rnn: return std::make_unique<LayerNetwork<torch::nn::RNN, torch::nn::RNNOptions>>(p, inputs);
    default: return nullptr;
  }
}
std::unique_ptr<Network> torch_lengths(const Problem& p, const Inputs& inputs, const std::vector<Index>& lengths) {
  return std::make_unique<LengthsNetwork>(p, inputs, lengths);
}
std::unique_ptr<Network> torch_composed(const Problem& p, const Inputs& inputs) { return composed(p, inputs, false); }
std::unique_ptr<Network> torch_hoisted(const Problem& p, const Inputs& inputs) { return composed(p, inputs, true); }

std::unique_ptr<Network> torch_chain(Index length, bool with_backward) {
  return std::make_unique<Chain>(length, with_backward);
}
std::unique_ptr<Network> torch_elementwise(const std::string& op, const Array& x) {
  return std::make_unique<Elementwise>(op, x);
}

}  // namespace rw::bench

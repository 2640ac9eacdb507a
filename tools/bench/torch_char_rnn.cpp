// char-rnn's recipe with libtorch: nn::LSTM on one-hot characters, nn::Linear, RMSprop.

#include <torch/torch.h>

#include "char_rnn.h"
#include "torch_array.h"
#include "torch_threads.h"

namespace rw::bench {

namespace {

class TorchCharRnn : public Network {
 public:
  explicit TorchCharRnn(const CharRnn& r)
      : options_(r.options),
        data_(r.data),
        symbols_(r.model.vocabulary().size()),
        lstm_(torch::nn::LSTMOptions(symbols_, options_.hidden).num_layers(options_.layers)),
        output_(options_.hidden, symbols_) {
    take_weights(r.model);
    parameters_ = lstm_->parameters();
    for (const torch::Tensor& p : output_->parameters()) parameters_.push_back(p);
    const auto settings = torch::optim::RMSpropOptions(options_.rate).alpha(0.95).eps(1e-8);
    optimizer_ = std::make_unique<torch::optim::RMSprop>(parameters_, settings);
  }
  void run() override {
    const BlasThreadsAlone threads;
    losses_.clear();
    for (Index i = 0; i < char_rnn_updates; ++i) losses_.push_back(update());
  }
  Result result() override { return {{"loss", losses_}}; }

 private:
  void take_weights(const CharModel& model) {
    const torch::NoGradGuard guard;
    const auto rewinds = [&](const std::string& name) { return to_torch(model.parameter(name).value()); };
    auto named = lstm_->named_parameters();
    for (Index l = 0; l < options_.layers; ++l) {
      const std::string end = "_l" + std::to_string(l), layer = model_name(l);
      named["weight_ih" + end].copy_(rewinds(layer + ".W").t());
      named["weight_hh" + end].copy_(rewinds(layer + ".R").t());
      named["bias_ih" + end].copy_(rewinds(layer + ".b"));
      named["bias_hh" + end].zero_();
      named["bias_hh" + end].requires_grad_(false);  // one bias a layer, as the recipe has it
    }
    output_->weight.copy_(rewinds("output.W").t());
    output_->bias.copy_(rewinds("output.b"));
  }
  static std::string model_name(Index layer) { return "cells.layer" + std::to_string(layer); }

  double update() {
    if (chunk_ == 0) state_ = {};
    const TextData::Chunk text = data_.chunk(chunk_);
    chunk_ = (chunk_ + 1) % data_.train_chunks();
    const torch::Tensor x = torch::one_hot(to_torch(text.inputs).to(torch::kInt64), symbols_).to(torch::kFloat32);
    const torch::Tensor y = to_torch(text.targets).to(torch::kInt64).reshape({-1});
    for (torch::Tensor& p : parameters_) p.mutable_grad() = torch::Tensor();
    const auto [h, state] = std::get<0>(state_).defined() ? lstm_->forward(x, state_) : lstm_->forward(x);
    state_ = {std::get<0>(state).detach(), std::get<1>(state).detach()};
    const torch::Tensor loss =
        torch::nn::functional::cross_entropy(output_->forward(h.reshape({-1, options_.hidden})), y);
    loss.backward();
    for (torch::Tensor& p : parameters_)
      if (p.grad().defined()) p.mutable_grad().clamp_(-options_.clip_value, options_.clip_value);
    optimizer_->step();
    return loss.item<double>();
  }

  cli::TrainOptions options_;
  TextData data_;
  Index symbols_, chunk_ = 0;
  torch::nn::LSTM lstm_;
  torch::nn::Linear output_;
  std::vector<torch::Tensor> parameters_;
  std::unique_ptr<torch::optim::RMSprop> optimizer_;
  std::tuple<torch::Tensor, torch::Tensor> state_;
  std::vector<double> losses_;
};

}  // namespace

std::unique_ptr<Network> torch_char_rnn(const CharRnn& recipe) { return std::make_unique<TorchCharRnn>(recipe); }

}  // namespace rw::bench

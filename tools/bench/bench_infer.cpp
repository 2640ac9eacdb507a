// One step of an LSTM without gradients, one sequence, the state carried: the loop that samples from a model. Rewind
// compiled beside oneDNN's fused primitive (weights packed once) and libtorch's nn::LSTM.
// usage: bench_infer [rounds] [threads]

#include <cstring>
#include <unordered_map>

#include <oneapi/dnnl/dnnl.hpp>
#include <torch/torch.h>

#ifdef _OPENMP
#include <omp.h>
#endif

#include <rewind/core/threads.h>
#include <rewind/rewind.h>

#include "contest.h"

namespace {

using rw::Index;

constexpr int warm_up = 100;  // steps until the state no longer changes, so that all can be compared

struct Weights {
  rw::Array W, R, b, x;
  explicit Weights(Index H) {
    rw::Rng rng(1);
    const double scale = 1 / std::sqrt(static_cast<double>(H));
    W = rw::uniform(rng, {H, 4 * H}, -scale, scale);
    R = rw::uniform(rng, {H, 4 * H}, -scale, scale);
    b = rw::uniform(rng, {4 * H}, -0.1, 0.1);
    x = rw::uniform(rng, {1, H}, -1, 1);
  }
};

class Compiled {
 public:
  Compiled(Index H, const Weights& w) : x_(w.x), cell_(make(H, w)), tape_(), state_(cell_.zero_state(tape_, 1)) {
    for (int i = 0; i < warm_up; ++i) step();
  }
  double step() {
    state_ = plan_(x_, state_);
    return static_cast<double>(state_.h.value().as<float>()[0]);
  }

 private:
  using State = rw::LstmCell::State;
  static rw::LstmCell make(Index H, const Weights& w) {
    rw::Rng rng(1);
    rw::LstmCell cell(H, H, rng);
    cell.parameter("W").set(w.W);
    cell.parameter("R").set(w.R);
    cell.parameter("b").set(w.b);
    return cell;
  }
  struct Step {
    const rw::LstmCell* cell;
    State operator()(rw::Tape&, rw::Tensor x, State s) const { return cell->step(x, s); }
  };
  rw::Array x_;
  rw::LstmCell cell_;
  rw::Tape tape_;
  State state_;
  rw::Compiled<Step, rw::Array, State> plan_ = rw::compile(Step{&cell_}, x_, state_);
};

/// oneDNN's LSTM, forward inference, one step.
class Fused {
 public:
  Fused(Index H, const Weights& w) : engine_(dnnl::engine::kind::cpu, 0), stream_(engine_) {
    using namespace dnnl;
    using tag = memory::format_tag;
    const auto f32 = memory::data_type::f32;
    const memory::desc layer({1, 1, H}, f32, tag::tnc), iter({1, 1, 1, H}, f32, tag::ldnc);
    const memory::desc any({1, 1, H, 4, H}, f32, tag::any), plain({1, 1, H, 4, H}, f32, tag::ldigo);
    const memory::desc bias({1, 1, 4, H}, f32, tag::ldgo);
    const lstm_forward::primitive_desc pd({prop_kind::forward_inference, rnn_direction::unidirectional_left2right,
                                           layer, iter, iter, any, any, bias, layer, iter, iter},
                                          engine_);
    lstm_ = lstm_forward(pd);
    const auto make = [&](const memory::desc& d, const rw::Array* from) {
      memory m(d, engine_);
      std::memset(m.get_data_handle(), 0, d.get_size());
      if (from != nullptr) std::memcpy(m.get_data_handle(), from->view().data, d.get_size());
      return m;
    };
    memory plain_w = make(plain, &w.W), plain_r = make(plain, &w.R);
    memory W(pd.weights_layer_desc(), engine_), R(pd.weights_iter_desc(), engine_);
    reorder(plain_w, W).execute(stream_, plain_w, W);
    reorder(plain_r, R).execute(stream_, plain_r, R);
    h_ = make(iter, nullptr);
    const memory c = make(iter, nullptr);
    args_ = {{DNNL_ARG_SRC_LAYER, make(layer, &w.x)},
             {DNNL_ARG_SRC_ITER, h_},
             {DNNL_ARG_SRC_ITER_C, c},
             {DNNL_ARG_WEIGHTS_LAYER, W},
             {DNNL_ARG_WEIGHTS_ITER, R},
             {DNNL_ARG_BIAS, make(bias, &w.b)},
             {DNNL_ARG_DST_LAYER, make(layer, nullptr)},
             {DNNL_ARG_DST_ITER, h_},
             {DNNL_ARG_DST_ITER_C, c}};
    for (int i = 0; i < warm_up; ++i) step();
  }
  double step() {
    lstm_.execute(stream_, args_);
    stream_.wait();
    return static_cast<double>(*static_cast<const float*>(h_.get_data_handle()));
  }

 private:
  dnnl::engine engine_;
  dnnl::stream stream_;
  dnnl::primitive lstm_;
  dnnl::memory h_;
  std::unordered_map<int, dnnl::memory> args_;
};

class Torch {
 public:
  Torch(Index H, const Weights& w) : lstm_(H, H), x_(tensor(w.x).view({1, 1, H})) {
    const torch::NoGradGuard guard;
    lstm_->named_parameters()["weight_ih_l0"].copy_(tensor(w.W).t());
    lstm_->named_parameters()["weight_hh_l0"].copy_(tensor(w.R).t());
    lstm_->named_parameters()["bias_ih_l0"].copy_(tensor(w.b));
    lstm_->named_parameters()["bias_hh_l0"].zero_();
    h_ = c_ = torch::zeros({1, 1, H});
    for (int i = 0; i < warm_up; ++i) step();
  }
  double step() {
    const torch::NoGradGuard guard;
    std::tie(h_, c_) = std::get<1>(lstm_->forward(x_, std::tuple(h_, c_)));
    return static_cast<double>(*h_.data_ptr<float>());
  }

 private:
  static torch::Tensor tensor(const rw::Array& a) {
    const std::vector<int64_t> sizes(a.shape().begin(), a.shape().end());
    return torch::from_blob(const_cast<void*>(a.view().data), sizes, torch::kFloat32).clone();
  }
  torch::nn::LSTM lstm_;
  torch::Tensor x_, h_, c_;
};

}  // namespace

int main(int argc, char** argv) {
  const int rounds = argc > 1 ? std::atoi(argv[1]) : 15, threads = argc > 2 ? std::atoi(argv[2]) : 1;
  rw::set_threads(threads);
  torch::set_num_threads(threads);
#ifdef _OPENMP
  omp_set_num_threads(threads);
#endif
  for (const Index H : {128, 512, 1024}) {
    const Weights w(H);
    Compiled ours(H, w);
    Fused fused(H, w);
    Torch torch(H, w);
    const auto timings = rw::bench::contest({{"rewind, compiled", [&] { return ours.step(); }},
                                             {"oneDNN's fused LSTM", [&] { return fused.step(); }},
                                             {"libtorch nn::LSTM", [&] { return torch.step(); }}},
                                            rounds, 0.02, 1e-3, std::chrono::milliseconds(threads > 1 ? 30 : 0));
    rw::bench::print(fmt::format("one step, N = 1, I = H = {}, {} thread{}", H, threads, threads == 1 ? "" : "s"),
                     timings, 1e6, "us");
    for (const auto& t : timings) fmt::print("  {:<28} {:>10.0f} steps per second\n", t.name, 1 / t.median);
  }
  return 0;
}

// oneDNN's recurrent primitives, with the weight reorders that a training loop needs: an optimizer keeps its weights in
// a plain layout and changes them at every step.

#include <algorithm>
#include <cstring>
#include <unordered_map>

#include <oneapi/dnnl/dnnl.hpp>

#include <rewind/core/gemm/bf16.h>

#include "recurrent.h"

namespace rw::bench {

namespace {

using dnnl::memory;
using tag = memory::format_tag;

struct Primitives {
  dnnl::primitive_desc forward, backward;
};

// Shapes as oneDNN writes them.
struct Descriptions {
  memory::desc x, out, state, c, wl, wi, b;  // weights in any layout
  memory::desc dx, dout, dstate, dwl, dwi;   // gradients
  memory::desc user_wl, user_wi;             // weights in the plain layout
  explicit Descriptions(const Problem& p) {
    const Index D = p.both_ways ? 2 : 1, L = p.layers, G = gates_of(p.cell);
    const auto f32 = memory::data_type::f32, type = p.bf16 ? memory::data_type::bf16 : f32;
    const memory::dims input{p.T, p.N, p.I}, output{p.T, p.N, D * p.H}, carried{L, D, p.N, p.H};
    const memory::dims layer{L, D, p.I, G, p.H}, iteration{L, D, p.H, G, p.H};
    x = {input, type, tag::tnc}, dx = {input, f32, tag::tnc};
    out = {output, type, tag::tnc}, dout = {output, f32, tag::tnc};
    state = {carried, type, tag::ldnc}, c = dstate = {carried, f32, tag::ldnc};
    wl = {layer, type, tag::any}, dwl = {layer, f32, tag::any}, user_wl = {layer, f32, tag::ldigo};
    wi = {iteration, type, tag::any}, dwi = {iteration, f32, tag::any}, user_wi = {iteration, f32, tag::ldigo};
    b = {{L, D, p.cell == Cell::gru ? 4 : G, p.H}, f32, tag::ldgo};
  }
};

// oneDNN 2 describes an operation first, and then the primitive; oneDNN 3 does both at once.
template <class P, class... A>
typename P::primitive_desc forward_of(const dnnl::engine& engine, const A&... a) {
#if DNNL_VERSION_MAJOR >= 3
  return {engine, a...};
#else
  return {typename P::desc(a...), engine};
#endif
}

template <class P, class Forward, class... A>
typename P::primitive_desc backward_of(const dnnl::engine& engine, const Forward& forward, const A&... a) {
#if DNNL_VERSION_MAJOR >= 3
  return {engine, a..., forward};
#else
  return {typename P::desc(a...), engine, forward};
#endif
}

template <class Forward, class Backward, class... First>
Primitives simple(const Problem& p, const Descriptions& d, const dnnl::engine& engine, dnnl::rnn_direction way,
                  First... first) {
  const auto kind = p.train ? dnnl::prop_kind::forward_training : dnnl::prop_kind::forward_inference;
  const auto forward = forward_of<Forward>(engine, kind, first..., way, d.x, d.state, d.wl, d.wi, d.b, d.out, d.state);
  if (!p.train) return {forward, {}};
  return {forward,
          backward_of<Backward>(engine, forward, dnnl::prop_kind::backward, first..., way, d.x, d.state, d.wl, d.wi,
                                d.b, d.out, d.state, d.dx, d.dstate, d.dwl, d.dwi, d.b, d.dout, d.dstate)};
}

Primitives lstm(const Problem& p, const Descriptions& d, const dnnl::engine& engine, dnnl::rnn_direction way) {
  const auto kind = p.train ? dnnl::prop_kind::forward_training : dnnl::prop_kind::forward_inference;
  const auto forward =
      forward_of<dnnl::lstm_forward>(engine, kind, way, d.x, d.state, d.c, d.wl, d.wi, d.b, d.out, d.state, d.c);
  if (!p.train) return {forward, {}};
  return {forward, backward_of<dnnl::lstm_backward>(engine, forward, dnnl::prop_kind::backward, way, d.x, d.state, d.c,
                                                    d.wl, d.wi, d.b, d.out, d.state, d.c, d.dx, d.dstate, d.c, d.dwl,
                                                    d.dwi, d.b, d.dout, d.dstate, d.c)};
}

Primitives primitives(const Problem& p, const Descriptions& d, const dnnl::engine& engine) {
  const auto way =
      p.both_ways ? dnnl::rnn_direction::bidirectional_concat : dnnl::rnn_direction::unidirectional_left2right;
  if (p.cell == Cell::lstm) return lstm(p, d, engine, way);
  if (p.cell == Cell::gru) return simple<dnnl::lbr_gru_forward, dnnl::lbr_gru_backward>(p, d, engine, way);
  return simple<dnnl::vanilla_rnn_forward, dnnl::vanilla_rnn_backward>(p, d, engine, way,
                                                                       dnnl::algorithm::eltwise_tanh);
}

// oneDNN's GRU has its first two gates in the other order.
void swap_gates(const Problem& p, float* rows, Index count) {
  if (p.cell != Cell::gru) return;
  for (Index r = 0; r < count; ++r, rows += 3 * p.H) std::swap_ranges(rows, rows + p.H, rows + p.H);
}

class Primitive : public Network {
 public:
  Primitive(const Problem& p, const Inputs& inputs) : p_(p), engine_(dnnl::engine::kind::cpu, 0), stream_(engine_) {
    const Descriptions d(p);
    const Primitives made = primitives(p, d, engine_);
    forward_ = dnnl::primitive(made.forward);
    user_wl_ = zeros(d.user_wl), user_wi_ = zeros(d.user_wi);
    take_weights(inputs, zeros(d.b));
    memory x = zeros(d.dx);
    std::memcpy(x.get_data_handle(), inputs.x.span<float>().data(), d.dx.get_size());
    fargs_[DNNL_ARG_SRC_LAYER] = zeros(d.x);
    move(x, fargs_[DNNL_ARG_SRC_LAYER]);
    outputs_ = d.dout;
    // Real zeros: without src_iter, oneDNN 2.6 gave wrong gradients of the recurrent weights.
    give(fargs_, made.forward,
         {DNNL_ARG_SRC_ITER, DNNL_ARG_WEIGHTS_LAYER, DNNL_ARG_WEIGHTS_ITER, DNNL_ARG_DST_LAYER, DNNL_ARG_DST_ITER});
    if (p.cell == Cell::lstm) give(fargs_, made.forward, {DNNL_ARG_SRC_ITER_C, DNNL_ARG_DST_ITER_C});
    if (p.carry) {
      fargs_[DNNL_ARG_DST_ITER] = fargs_[DNNL_ARG_SRC_ITER];
      fargs_[DNNL_ARG_DST_ITER_C] = fargs_[DNNL_ARG_SRC_ITER_C];
    }
    if (p.train)
      prepare_backward(made, d);
    else
      reorder_in(fargs_);
  }

  void run() override {
    if (p_.train) reorder_in(fargs_);
    forward_.execute(stream_, fargs_);
    if (p_.train) {
      reorder_in(bargs_);
      for (int arg : {DNNL_ARG_DIFF_WEIGHTS_LAYER, DNNL_ARG_DIFF_WEIGHTS_ITER, DNNL_ARG_DIFF_BIAS})
        std::memset(bargs_[arg].get_data_handle(), 0, bargs_[arg].get_desc().get_size());
      backward_.execute(stream_, bargs_);
      move(bargs_[DNNL_ARG_DIFF_WEIGHTS_LAYER], user_dwl_);
      move(bargs_[DNNL_ARG_DIFF_WEIGHTS_ITER], user_dwi_);
    }
    stream_.wait();
  }

  Result result() override {
    const Index width = p_.H * (p_.both_ways ? 2 : 1);
    memory h = zeros(outputs_);  // in f32
    move(fargs_[DNNL_ARG_DST_LAYER], h);
    stream_.wait();
    Result out{{"h", sample(data(h) + (p_.T - 1) * p_.N * width, p_.N * width)}};
    if (!p_.train) return out;
    const Index gates = gates_of(p_.cell) * p_.H;
    for (const auto& [name, m, rows] : {std::tuple{"gradient of W", user_dwl_, p_.I},
                                        {"gradient of R", user_dwi_, p_.H},
                                        {"gradient of b", bargs_[DNNL_ARG_DIFF_BIAS], Index(1)}}) {
      std::vector<float> copy(data(m), data(m) + rows * gates);
      swap_gates(p_, copy.data(), rows);
      out.push_back({name, sample(copy.data(), rows * gates)});
    }
    out.push_back({"gradient of x", sample(data(bargs_[DNNL_ARG_DIFF_SRC_LAYER]), p_.T * p_.N * p_.I)});
    return out;
  }

 private:
  using Args = std::unordered_map<int, memory>;

  static float* data(const memory& m) { return static_cast<float*>(m.get_data_handle()); }
  memory zeros(const memory::desc& d) const {
    memory m(d, engine_);
    std::memset(m.get_data_handle(), 0, d.get_size());
    return m;
  }
  void give(Args& args, const dnnl::primitive_desc& primitive, std::initializer_list<int> which) const {
    for (int arg : which) args[arg] = zeros(primitive.query_md(dnnl::query::exec_arg_md, arg));
  }
  void move(memory& from, memory& to) { dnnl::reorder(from, to).execute(stream_, from, to); }
  void reorder_in(Args& args) {
    move(user_wl_, args[DNNL_ARG_WEIGHTS_LAYER]);
    move(user_wi_, args[DNNL_ARG_WEIGHTS_ITER]);
  }
  void take_weights(const Inputs& inputs, const memory& biases) {
    float *wl = data(user_wl_), *wi = data(user_wi_), *b = data(biases);
    const auto take = [&](const Array& from, float*& to) {
      const std::span<const float> numbers = from.span<float>();
      std::copy(numbers.begin(), numbers.end(), to);
      swap_gates(p_, to, from.size() / (gates_of(p_.cell) * p_.H));
      to += from.size();
    };
    for (const LayerWeights& w : inputs.layers) {
      take(w.W, wl), take(w.R, wi), take(w.b, b);
      if (p_.cell == Cell::gru) b += p_.H;  // the bias of the new gate's recurrent product, which stays 0
    }
    fargs_[DNNL_ARG_BIAS] = biases;
  }
  void prepare_backward(const Primitives& made, const Descriptions& d) {
    give(fargs_, made.forward, {DNNL_ARG_WORKSPACE});
    backward_ = dnnl::primitive(made.backward);
    bargs_ = fargs_;
    give(bargs_, made.backward,
         {DNNL_ARG_WEIGHTS_LAYER, DNNL_ARG_WEIGHTS_ITER, DNNL_ARG_DIFF_SRC_LAYER, DNNL_ARG_DIFF_SRC_ITER,
          DNNL_ARG_DIFF_WEIGHTS_LAYER, DNNL_ARG_DIFF_WEIGHTS_ITER, DNNL_ARG_DIFF_BIAS, DNNL_ARG_DIFF_DST_LAYER,
          DNNL_ARG_DIFF_DST_ITER});
    if (p_.cell == Cell::lstm) give(bargs_, made.backward, {DNNL_ARG_DIFF_SRC_ITER_C, DNNL_ARG_DIFF_DST_ITER_C});
    std::fill_n(data(bargs_[DNNL_ARG_DIFF_DST_LAYER]), d.dout.get_size() / sizeof(float), 1.0f);
    user_dwl_ = zeros(d.user_wl), user_dwi_ = zeros(d.user_wi);
  }

  Problem p_;
  dnnl::engine engine_;
  dnnl::stream stream_;
  dnnl::primitive forward_, backward_;
  memory::desc outputs_;
  memory user_wl_, user_wi_, user_dwl_, user_dwi_;
  Args fargs_, bargs_;
};

}  // namespace

std::unique_ptr<Network> dnnl_primitive(const Problem& p, const Inputs& inputs) {
  if (p.cell != Cell::lstm && p.cell != Cell::gru && p.cell != Cell::rnn) return nullptr;
  if (p.bf16 && (p.cell != Cell::lstm || !rw::detail::has_bf16())) return nullptr;
  if (p.layers > 1 && (p.I != p.H || p.both_ways)) return nullptr;  // the primitive's layers are all alike
  if (p.train != p.gradient_of_x || (p.carry && p.cell != Cell::lstm)) return nullptr;
  return std::make_unique<Primitive>(p, inputs);
}

}  // namespace rw::bench

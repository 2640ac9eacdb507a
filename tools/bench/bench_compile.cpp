// A composed LSTM, compiled, beside oneDNN's fused primitive: one training step (forward, the sum of all h as loss,
// backward to all weights and to x). Rounds alternate between the two; medians and their ratio are printed.
//
//     bench_compile [--threads n] [--rounds n] [--only H] [--layers n] [--bf16] [--profile]
//
// With --layers, a stack of that many layers as wide as the input; with two threads and more, a third column has the
// compiled step whose kernels run one at a time, shared among the threads.

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <deque>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <oneapi/dnnl/dnnl.hpp>

#ifdef _OPENMP
#include <omp.h>
#endif

#include <rewind/autograd/backward.h>
#include <rewind/autograd/compile/compile.h>
#include <rewind/autograd/structural.h>
#include <rewind/core/threads.h>
#include <rewind/ops/activation.h>
#include <rewind/ops/arithmetic.h>
#include <rewind/ops/matmul.h>

namespace {

using namespace rw;

struct Size {
  Index T, N, I, H;
  Index layers = 1;
};

Array random_array(const Shape& shape, double scale) {
  static std::uint64_t s = 88172645463325252ull;
  Array out(shape);
  for (float& x : out.span<float>()) {
    s ^= s << 13, s ^= s >> 7, s ^= s << 17;
    x = static_cast<float>(scale * (static_cast<double>(s >> 11) / 4503599627370496.0 - 1));
  }
  return out;
}

struct Weights {
  Parameter x;
  std::deque<Parameter> W, R, b;  // by layer
  explicit Weights(const Size& s) : x("x", random_array(Shape{s.T, s.N, s.I}, 1)) {
    const double scale = 1 / std::sqrt(static_cast<double>(s.H));
    for (Index layer = 0; layer < s.layers; ++layer) {
      W.emplace_back("W", random_array(Shape{layer == 0 ? s.I : s.H, 4 * s.H}, scale));
      R.emplace_back("R", random_array(Shape{s.H, 4 * s.H}, scale));
      b.emplace_back("b", random_array(Shape{4 * s.H}, 0.1));
    }
  }
};

Tensor lstm_loss(Tape& tape, Weights& w, const Size& s) {
  const Tensor x = tape.leaf(w.x), zero = tape.constant(0, Shape{s.N, s.H});
  std::vector<Tensor> rows;
  for (Index t = 0; t < s.T; ++t) rows.push_back(record(Reshape{Shape{s.N, s.I}}, {record(Slice{0, t, 1}, {x})}));
  for (std::size_t layer = 0; layer < w.W.size(); ++layer) {
    Tensor h = zero, c = zero;
    for (Tensor& row : rows) {
      const Tensor z = matmul(row, w.W[layer]) + matmul(h, w.R[layer]) + w.b[layer];
      const auto gate = [&](Index k) { return record(Slice{1, k * s.H, s.H}, {z}); };
      c = sigmoid(gate(1)) * c + sigmoid(gate(0)) * tanh(gate(2));
      row = h = sigmoid(gate(3)) * tanh(c);
    }
  }
  std::vector<Operand> all;
  for (const Tensor& h : rows) all.emplace_back(record(Reshape{Shape{1, s.N, s.H}}, {h}));
  return record(SumTo{Shape{}}, {record(Concat{0}, std::span<const Operand>(all))});
}

/// oneDNN's LSTM with the weight reorders of a training loop.
class Fused {
 public:
  Fused(const Size& s, const Weights& w, dnnl::memory::data_type type = dnnl::memory::data_type::f32)
      : engine_(dnnl::engine::kind::cpu, 0), stream_(engine_) {
    using namespace dnnl;
    using tag = memory::format_tag;
    const auto f32 = memory::data_type::f32;
    const auto any = [&](memory::dims d, memory::data_type t) { return memory::desc(d, t, tag::any); };
    const memory::dims layer{s.T, s.N, s.I}, out{s.T, s.N, s.H}, iter{s.layers, 1, s.N, s.H};
    const memory::dims wl{s.layers, 1, s.I, 4, s.H}, wi{s.layers, 1, s.H, 4, s.H}, bias{s.layers, 1, 4, s.H};
    const memory::desc src(layer, type, tag::tnc), dst(out, type, tag::tnc), state(iter, type, tag::ldnc);
    const memory::desc cell(iter, f32, tag::ldnc), b(bias, f32, tag::ldgo);
    const auto direction = rnn_direction::unidirectional_left2right;
    lstm_forward::desc fd(prop_kind::forward_training, direction, src, state, cell, any(wl, type), any(wi, type), b,
                          dst, state, cell);
    const lstm_forward::primitive_desc fpd(fd, engine_);
    const memory::desc dsrc(layer, f32, tag::tnc), ddst(out, f32, tag::tnc), dstate(iter, f32, tag::ldnc);
    lstm_backward::desc bd(prop_kind::backward, direction, src, state, cell, any(wl, type), any(wi, type), b, dst,
                           state, cell, dsrc, dstate, cell, any(wl, f32), any(wi, f32), b, ddst, dstate, cell);
    const lstm_backward::primitive_desc bpd(bd, engine_, fpd);
    forward_ = lstm_forward(fpd);
    backward_ = lstm_backward(bpd);
    const auto zero = [&](const memory::desc& d) {
      memory m(d, engine_);
      std::memset(m.get_data_handle(), 0, d.get_size());
      return m;
    };
    user_wl_ = zero({wl, f32, tag::ldigo});
    user_wi_ = zero({wi, f32, tag::ldigo});
    gather(w.W, user_wl_);
    gather(w.R, user_wi_);
    fwl_ = zero(fpd.weights_layer_desc()), fwi_ = zero(fpd.weights_iter_desc());
    bwl_ = zero(bpd.weights_layer_desc()), bwi_ = zero(bpd.weights_iter_desc());
    dwl_ = zero(bpd.diff_weights_layer_desc()), dwi_ = zero(bpd.diff_weights_iter_desc());
    user_dwl_ = zero({wl, f32, tag::ldigo}), user_dwi_ = zero({wi, f32, tag::ldigo});
    memory x = zero({layer, f32, tag::tnc}), xs = zero(src);
    std::memcpy(x.get_data_handle(), w.x.value().view().data, x.get_desc().get_size());
    reorder(x, xs).execute(stream_, x, xs);
    memory biases = zero(b);
    gather(w.b, biases);
    dst_ = zero(dst);
    memory ones = zero(ddst);
    std::fill_n(static_cast<float*>(ones.get_data_handle()), s.T * s.N * s.H, 1.0f);
    const memory workspace = zero(fpd.workspace_desc());
    const memory s0 = zero(state), c0 = zero(cell), s1 = zero(state), c1 = zero(cell);
    fargs_ = {{DNNL_ARG_SRC_LAYER, xs},       {DNNL_ARG_SRC_ITER, s0},       {DNNL_ARG_SRC_ITER_C, c0},
              {DNNL_ARG_WEIGHTS_LAYER, fwl_}, {DNNL_ARG_WEIGHTS_ITER, fwi_}, {DNNL_ARG_BIAS, biases},
              {DNNL_ARG_DST_LAYER, dst_},     {DNNL_ARG_DST_ITER, s1},       {DNNL_ARG_DST_ITER_C, c1},
              {DNNL_ARG_WORKSPACE, workspace}};
    bargs_ = fargs_;
    bargs_[DNNL_ARG_WEIGHTS_LAYER] = bwl_;
    bargs_[DNNL_ARG_WEIGHTS_ITER] = bwi_;
    bargs_[DNNL_ARG_DIFF_SRC_LAYER] = zero(dsrc);
    bargs_[DNNL_ARG_DIFF_SRC_ITER] = zero(dstate);
    bargs_[DNNL_ARG_DIFF_SRC_ITER_C] = zero(cell);
    bargs_[DNNL_ARG_DIFF_WEIGHTS_LAYER] = dwl_;
    bargs_[DNNL_ARG_DIFF_WEIGHTS_ITER] = dwi_;
    bargs_[DNNL_ARG_DIFF_BIAS] = dbias_ = zero(b);
    bargs_[DNNL_ARG_DIFF_DST_LAYER] = ones;
    bargs_[DNNL_ARG_DIFF_DST_ITER] = zero(dstate);
    bargs_[DNNL_ARG_DIFF_DST_ITER_C] = zero(cell);
    in_ = {dnnl::reorder(user_wl_, fwl_), dnnl::reorder(user_wi_, fwi_), dnnl::reorder(user_wl_, bwl_),
           dnnl::reorder(user_wi_, bwi_)};
    out_ = {dnnl::reorder(dwl_, user_dwl_), dnnl::reorder(dwi_, user_dwi_)};
  }

  void step() {
    in_[0].execute(stream_, user_wl_, fwl_);
    in_[1].execute(stream_, user_wi_, fwi_);
    forward_.execute(stream_, fargs_);
    in_[2].execute(stream_, user_wl_, bwl_);
    in_[3].execute(stream_, user_wi_, bwi_);
    for (dnnl::memory* m : {&dwl_, &dwi_, &dbias_}) std::memset(m->get_data_handle(), 0, m->get_desc().get_size());
    backward_.execute(stream_, bargs_);
    out_[0].execute(stream_, dwl_, user_dwl_);
    out_[1].execute(stream_, dwi_, user_dwi_);
    stream_.wait();
  }
  /// Of the first layer.
  const float* weight_gradient() const { return static_cast<const float*>(user_dwi_.get_data_handle()); }

 private:
  static void gather(const std::deque<Parameter>& layers, const dnnl::memory& to) {
    auto* at = static_cast<float*>(to.get_data_handle());
    for (const Parameter& p : layers) {
      const ConstView v = p.value().view();
      at = std::copy_n(v.as<float>(), v.size(), at);
    }
  }

  dnnl::engine engine_;
  dnnl::stream stream_;
  dnnl::primitive forward_, backward_;
  std::vector<dnnl::reorder> in_, out_;
  dnnl::memory user_wl_, user_wi_, fwl_, fwi_, bwl_, bwi_, dwl_, dwi_, dbias_, user_dwl_, user_dwi_, dst_;
  std::unordered_map<int, dnnl::memory> fargs_, bargs_;
};

int thread_count = 1;

// One thread's own time on the processor: other programs on the machine count as little as they can.
double now() {
  timespec t{};
  clock_gettime(thread_count == 1 ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

template <class F>
double seconds(F&& f, int times) {
  if (thread_count > 1) {  // until the other's threads, which spin for a while when their work is done, sleep
    std::this_thread::sleep_for(std::chrono::milliseconds(40));
    f();
  }
  const double begin = now();
  for (int i = 0; i < times; ++i) f();
  return (now() - begin) / times;
}

double median(std::vector<double> x) {
  std::sort(x.begin(), x.end());
  return x[x.size() / 2];
}

}  // namespace

int main(int argc, char** argv) {
  int rounds = 15;
  Index only = 0, layers = 1;
  bool profile = false, bf16 = false;
  for (int i = 1; i < argc; ++i) {
    const std::string arg = argv[i];
    if (arg == "--threads") thread_count = std::atoi(argv[++i]);
    if (arg == "--rounds") rounds = std::atoi(argv[++i]);
    if (arg == "--only") only = std::atoi(argv[++i]);
    if (arg == "--layers") layers = std::atoi(argv[++i]);
    if (arg == "--profile") profile = true;
    if (arg == "--bf16") bf16 = true;
  }
  set_threads(thread_count);
#ifdef _OPENMP
  omp_set_num_threads(thread_count);
#endif
  Size sizes[] = {{50, 1, 16, 16},    {50, 16, 32, 32},   {50, 32, 128, 128},
                  {50, 64, 256, 256}, {50, 64, 512, 512}, {25, 128, 1024, 1024}};
  std::printf("%-22s %12s %12s %7s   (ms, %d thread%s, %d layer%s)\n", "T,N,I,H", "compiled", "oneDNN", "ratio",
              thread_count, thread_count == 1 ? "" : "s", static_cast<int>(layers), layers == 1 ? "" : "s");
  double product = 1;
  int count = 0;
  for (Size& s : sizes) {
    s.layers = layers;
    if (only != 0 && s.H != only) continue;
    Weights w(s);
    const auto f = [&](Tape& tape, double) {
      const Tensor loss = lstm_loss(tape, w, s);
      backward(loss);
      return loss;
    };
    const Precision precision = bf16 ? Precision::bf16 : Precision::full;
    auto step = compile(f, CompileOptions{.matmul = precision}, 0.0);
    auto one_at_a_time = compile(f, CompileOptions{.passes = Passes::all() - Pass::branch, .matmul = precision}, 0.0);
    Fused fused(s, w, bf16 ? dnnl::memory::data_type::bf16 : dnnl::memory::data_type::f32);
    step(0.0);
    fused.step();
    double worst = 0, size = 0;
    for (Index i = 0; i < s.H * 4 * s.H; ++i) {
      worst = std::max(worst,
                       std::abs(static_cast<double>(w.R[0].grad().view().as<float>()[i] - fused.weight_gradient()[i])));
      size = std::max(size, std::abs(static_cast<double>(fused.weight_gradient()[i])));
    }
    if (worst > (bf16 ? 2e-2 : 1e-3) * size) std::printf("the gradients differ: %g of %g\n", worst, size);
    const int times = std::max(1, static_cast<int>(0.01 / seconds([&] { step(0.0); }, 2)));
    std::vector<double> ours, theirs, shared;
    for (int r = 0; r < rounds; ++r) {
      ours.push_back(seconds([&] { step(0.0); }, times));
      if (thread_count > 1) shared.push_back(seconds([&] { one_at_a_time(0.0); }, times));
      theirs.push_back(seconds([&] { fused.step(); }, times));
    }
    const double a = median(ours), b = median(theirs);
    product *= a / b;
    ++count;
    const std::string name =
        std::to_string(s.T) + "," + std::to_string(s.N) + "," + std::to_string(s.I) + "," + std::to_string(s.H);
    std::printf("%-22s %12.4f %12.4f %7.3f", name.c_str(), a * 1e3, b * 1e3, a / b);
    if (thread_count > 1) std::printf(" %12.4f", median(shared) * 1e3);
    std::printf("\n");
    if (profile) std::printf("%s\n%s\n", step.explain().c_str(), step.profile(20).c_str());
  }
  std::printf("geometric mean of the ratios %.3f\n", std::pow(product, 1.0 / count));
  return 0;
}

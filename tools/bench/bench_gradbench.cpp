// GradBench's LSTM: diagonal weights, 14 wide, f64. One gradient to all weights, compiled, beside one evaluation of
// the function alone in plain C++ with the C library's functions, and our own compiled function alone.

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <ctime>
#include <memory>
#include <vector>

#include <rewind/autograd/backward.h>
#include <rewind/autograd/compile/compile.h>
#include <rewind/core/threads.h>
#include <rewind/ops/ops.h>

namespace {

using namespace rw;

constexpr Index b = 14;

Array random_array(const Shape& shape) {
  static std::uint64_t s = 88172645463325252ull;
  Array out(shape, DType::f64);
  for (double& x : out.span<double>()) {
    s ^= s << 13, s ^= s >> 7, s ^= s << 17;
    x = static_cast<double>(s >> 11) / 4503599627370496.0 - 1;
  }
  return out;
}

struct Data {
  Index layers, T;
  Array h0, c0, sequence;  // [layers, b], [layers, b], [T, b]

  Data(Index l, Index t)
      : layers(l), T(t), h0(random_array({l, b})), c0(random_array({l, b})), sequence(Shape{t, b}, DType::f64) {
    for (double& x : sequence.span<double>()) x = static_cast<double>(&x - sequence.span<double>().data()) * 0.37;
    for (double& x : sequence.span<double>()) x = x - std::floor(x) > 0.5 ? 1 : 0;
  }
};

double plain(const std::vector<Array>& w, const Data& d) {
  const auto at = [&](std::size_t i) { return w[i].view().as<double>(); };
  const auto sigmoid = [](double x) { return 1 / (1 + std::exp(-x)); };
  std::vector<double> h(d.h0.view().as<double>(), d.h0.view().as<double>() + d.layers * b);
  std::vector<double> c(d.c0.view().as<double>(), d.c0.view().as<double>() + d.layers * b);
  const std::size_t extra = static_cast<std::size_t>(8 * d.layers);
  double loss = 0;
  for (Index t = 0; t + 1 < d.T; ++t) {
    double x[b], prediction[b], total = 2;
    for (Index i = 0; i < b; ++i) x[i] = d.sequence.view().as<double>()[t * b + i] * at(extra)[i];
    for (Index l = 0; l < d.layers; ++l) {
      const auto k = static_cast<std::size_t>(8 * l);
      double *hl = &h[static_cast<std::size_t>(l * b)], *cl = &c[static_cast<std::size_t>(l * b)];
      for (Index i = 0; i < b; ++i) {
        const double f = sigmoid(x[i] * at(k)[i] + at(k + 1)[i]), in = sigmoid(hl[i] * at(k + 2)[i] + at(k + 3)[i]);
        const double o = sigmoid(x[i] * at(k + 4)[i] + at(k + 5)[i]),
                     g = std::tanh(hl[i] * at(k + 6)[i] + at(k + 7)[i]);
        cl[i] = cl[i] * f + in * g;
        x[i] = hl[i] = o * std::tanh(cl[i]);
      }
    }
    for (Index i = 0; i < b; ++i) {
      prediction[i] = x[i] * at(extra + 1)[i] + at(extra + 2)[i];
      total += std::exp(prediction[i]);
    }
    const double lse = std::log(total);
    for (Index i = 0; i < b; ++i) loss += d.sequence.view().as<double>()[(t + 1) * b + i] * (prediction[i] - lse);
  }
  return -loss / static_cast<double>((d.T - 1) * b);
}

Tensor recorded(Tape& tape, const std::vector<Parameter*>& w, const Data& d) {
  std::vector<Tensor> h, c;
  for (Index l = 0; l < d.layers; ++l) {
    h.push_back(select(tape.constant(d.h0), 0, l));
    c.push_back(select(tape.constant(d.c0), 0, l));
  }
  const Tensor sequence = tape.constant(d.sequence);
  const std::size_t extra = static_cast<std::size_t>(8 * d.layers);
  std::vector<Tensor> predictions;
  for (Index t = 0; t + 1 < d.T; ++t) {
    const Scope scope(tape, "t", t);
    Tensor x = select(sequence, 0, t) * *w[extra];
    for (std::size_t l = 0; l < h.size(); ++l) {
      const auto k = 8 * l;
      const Tensor f = sigmoid(x * *w[k] + *w[k + 1]), i = sigmoid(h[l] * *w[k + 2] + *w[k + 3]);
      const Tensor o = sigmoid(x * *w[k + 4] + *w[k + 5]), g = tanh(h[l] * *w[k + 6] + *w[k + 7]);
      c[l] = c[l] * f + i * g;
      x = h[l] = o * tanh(c[l]);
    }
    predictions.push_back(x * *w[extra + 1] + *w[extra + 2]);
  }
  const Tensor all = stack(predictions);
  const Tensor lse = log(sum(exp(all), {1}, true) + 2.0);
  return sum(slice(sequence, 0, 1, d.T - 1) * (all - lse)) * (-1.0 / static_cast<double>((d.T - 1) * b));
}

double now() {
  timespec t{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

template <class F>
double once(F&& f) {
  const double begin = now();
  f();
  return now() - begin;
}

double median(std::vector<double> x) {
  std::sort(x.begin(), x.end());
  return x[x.size() / 2];
}

}  // namespace

int main(int argc, char**) {
  set_threads(1);
  std::printf("%-10s %12s %12s %12s %9s %9s\n", "layers,T", "plain C++", "function", "gradient", "to plain", "to own");
  for (const auto& [layers, T] : {std::pair<Index, Index>{2, 1024}, {4, 1024}, {4, 4096}}) {
    Data d(layers, T);
    std::vector<Array> values;
    std::vector<std::unique_ptr<Parameter>> owned;
    std::vector<Parameter*> w;
    for (Index i = 0; i < 8 * layers + 3; ++i) {
      values.push_back(random_array({b}));
      owned.push_back(std::make_unique<Parameter>("w", values.back()));
      w.push_back(owned.back().get());
    }
    CompileOptions options;
    options.dtype = DType::f64;
    auto function = compile([&](Tape& tape) { return recorded(tape, w, d); }, options);
    auto gradient = compile(
        [&](Tape& tape) {
          const Tensor loss = recorded(tape, w, d);
          backward(loss);
          return loss;
        },
        options);
    const double ours = gradient().item(), theirs = plain(values, d);
    if (std::abs(ours - theirs) > 1e-9 * std::abs(theirs)) std::printf("the losses differ: %g %g\n", ours, theirs);
    std::vector<double> a, f, g;
    volatile double sink = 0;
    for (int r = 0; r < 15; ++r) {
      a.push_back(once([&] { sink = plain(values, d); }));
      f.push_back(once([&] { sink = function().item(); }));
      g.push_back(once([&] { sink = gradient().item(); }));
    }
    static_cast<void>(sink);
    std::printf("%td,%-8td %12.3f %12.3f %12.3f %9.2f %9.2f  (ms)\n", layers, T, median(a) * 1e3, median(f) * 1e3,
                median(g) * 1e3, median(g) / median(a), median(g) / median(f));
    if (argc > 1) std::printf("%s\n%s\n", gradient.explain().c_str(), gradient.profile(5).c_str());
  }
  return 0;
}

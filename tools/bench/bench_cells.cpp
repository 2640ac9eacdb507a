// Cells that no vendor wrote a kernel for, beside the LSTM: a training step of each, compiled, on one thread, and where
// its time goes. GFLOP/s inside products, nanoseconds for an element of an elementwise instruction, and the step's
// products over the step's time and the peak that a large product reaches in the same run.
//
//     bench_cells [--only H] [--profile]

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include <rewind/autograd/backward.h>
#include <rewind/autograd/compile/compile.h>
#include <rewind/core/gemm.h>
#include <rewind/core/threads.h>
#include <rewind/models/gru_cell.h>
#include <rewind/models/init.h>
#include <rewind/models/lstm_cell.h>
#include <rewind/models/mgu_cell.h>
#include <rewind/models/unroll.h>
#include <rewind/ops/ops.h>

namespace {

using namespace rw;

/// A cell of nobody's: a leaky memory whose leak is a softmax over three sources, with a gate that sees its product.
class OwnCell : public Module {
 public:
  struct State {
    Tensor h, m;
  };
  OwnCell(Index in, Index hidden, Rng& rng)
      : Module("own"),
        W_(param("W", glorot(rng, in, 3 * hidden))),
        U_(param("U", glorot(rng, hidden, 3 * hidden))),
        V_(param("V", glorot(rng, hidden, hidden))),
        b_(param("b", zeros(3 * hidden))),
        hidden_(hidden) {}
  State zero_state(Tape& tape, Index batch) const {
    const Tensor zero = tape.constant(0, Shape{batch, hidden_});
    return {zero, zero};
  }
  State step(Tensor x, const State& s) const {
    const auto [p, q, r] = split<3>(matmul(x, W_) + matmul(s.h, U_) + b_);
    const Tensor a = exp(tanh(p)), b = exp(tanh(q)), n = softplus(r);
    const Tensor m = (a * s.m + b * tanh(r) + n * s.h) / (a + b + n);
    return {tanh(m + sigmoid(m * q) * matmul(m, V_)), m};
  }

 private:
  Parameter &W_, &U_, &V_, &b_;
  Index hidden_;
};

struct Size {
  Index T, N, H;
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

double now() {
  timespec t{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

double peak() {
  const Index n = 1024;
  const Array a = random_array({n, n}, 1), b = random_array({n, n}, 1);
  Array c(Shape{n, n});
  double best = 1;
  for (int i = 0; i < 4; ++i) {
    const double begin = now();
    gemm(a.view(), false, b.view(), false, c.view());
    best = std::min(best, now() - begin);
  }
  return 2e-9 * static_cast<double>(n * n * n) / best;
}

struct Shares {
  double products = 0, flops = 0, kernels = 0, elements = 0, other = 0;  // seconds, and counts of 1e9
};

// From the table of `profile`: us, share, times, GFLOP/s, MB, what.
Shares shares(const std::string& table) {
  Shares out;
  std::istringstream lines(table);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream fields(line);
    double us = 0, rate = 0, mb = 0;
    std::string share, times, what;
    if (!(fields >> us >> share >> times >> rate >> mb >> what)) continue;
    const bool product = what == "matmul";
    (product ? out.products : what == "kernel" ? out.kernels : out.other) += us * 1e-6;
    (product ? out.flops : out.elements) += what == "kernel" || product ? rate * us * 1e-6 : 0;
  }
  return out;
}

template <class C>
void measure(const char* name, const C& cell, const Size& s, bool profile) {
  Parameter x("x", random_array(Shape{s.T, s.N, s.H}, 1));
  auto step = compile([&](Tape& tape) {
    const Tensor loss = sum(outputs(cell, unroll(cell, tape.leaf(x), cell.zero_state(tape, s.N))));
    backward(loss);
    return loss;
  });
  std::vector<double> times, peak_times;  // seconds, and those times the peak beside it, in turns
  for (int i = 0; i < 6; ++i) {
    const double begin = now();
    step();
    times.push_back(now() - begin);
    peak_times.push_back(times.back() * peak());
  }
  const auto median = [](std::vector<double> x) {
    std::sort(x.begin() + 1, x.end());  // the first finds cold caches
    return x[x.size() / 2];
  };
  const std::string table = step.profile(3);
  const Shares part = shares(table);
  std::printf("%-22s %4td %9.2f %9.1f %9.4f %8.1f%% %8.1f%% %8.1f%% %9.1f%%\n", name, s.H, median(times) * 1e3,
              part.flops / part.products, part.kernels / part.elements,
              100 * part.products / (part.products + part.kernels + part.other),
              100 * part.kernels / (part.products + part.kernels + part.other),
              100 * part.other / (part.products + part.kernels + part.other), 100 * part.flops / median(peak_times));
  if (profile) std::printf("%s\n%s\n", step.explain().c_str(), table.c_str());
}

}  // namespace

int main(int argc, char** argv) {
  Index only = 0;
  bool profile = false;
  for (int i = 1; i < argc; ++i) {
    const std::string arg = argv[i];
    if (arg == "--only" && i + 1 < argc) only = std::atoi(argv[++i]);
    if (arg == "--profile") profile = true;
  }
  set_threads(1);
  std::printf("%-22s %4s %9s %9s %9s %9s %9s %9s %10s\n", "cell", "H", "ms", "GFLOP/s", "ns/el", "products", "kernels",
              "other", "of peak");
  for (const Size& s : {Size{50, 64, 256}, Size{50, 64, 512}}) {
    if (only != 0 && s.H != only) continue;
    Rng rng(1);
    measure("LSTM", LstmCell(s.H, s.H, rng), s, profile);
    measure("GRU, reset after", GruCell(s.H, s.H, rng), s, profile);
    measure("GRU, reset before", GruCell(s.H, s.H, rng, {.reset = GruOptions::Reset::before}), s, profile);
    measure("MGU", MguCell(s.H, s.H, rng), s, profile);
    measure("peephole LSTM", LstmCell(s.H, s.H, rng, {.peepholes = LstmOptions::Peepholes::all}), s, profile);
    measure("layer-norm LSTM", LstmCell(s.H, s.H, rng, {.layer_norm = true}), s, profile);
    measure("one of our own", OwnCell(s.H, s.H, rng), s, profile);
  }
  return 0;
}

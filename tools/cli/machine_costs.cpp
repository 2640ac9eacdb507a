#include <algorithm>
#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <utility>

#include <fmt/format.h>

#include <rewind/autograd/compile/compile.h>
#include <rewind/core/gemm/gemm.h>
#include <rewind/core/gemm/packed.h>
#include <rewind/core/memory.h>
#include <rewind/core/one_thread.h>
#include <rewind/core/threads.h>
#include <rewind/ops/ops.h>
#include <rewind/tools/cli/machine_costs.h>

namespace rw::cli {
namespace {

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

/// Something that is done again and again, and what one time of it takes.
class Timed {
 public:
  Timed(std::string name, std::function<void()> f) : what(std::move(name)), f_(std::move(f)) {}

  // As often as fills two milliseconds, after one time that is not counted.
  void measure() {
    f_();
    const double begin = now();
    double end = begin;
    int times = 0;
    for (; times == 0 || (end - begin < 2e-3 && times < 100'000); ++times, end = now()) f_();
    seconds_.push_back((end - begin) / times);
  }
  double us() const { return 1e6 * *std::min_element(seconds_.begin(), seconds_.end()); }

  std::string what;

 private:
  std::function<void()> f_;
  std::vector<double> seconds_;
};

struct Size {
  Index m, n, k;
  double multiplications() const { return static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k); }
};

constexpr Size tiny{4, 16, 16}, one_row{1, 1024, 256}, step{64, 1024, 256}, all_steps{1600, 1024, 256};

template <class T>
Timed product(const Size& s) {
  const auto fill = [](Index n) { return std::vector<T>(static_cast<std::size_t>(n), T(0.5)); };
  struct Matrices {
    std::vector<T> a, b, c;
  };
  const auto x = std::make_shared<Matrices>(Matrices{fill(s.m * s.k), fill(s.k * s.n), fill(s.m * s.n)});
  return {fmt::format("{} product {} x {} x {}", sizeof(T) == 4 ? "f32" : "f64", s.m, s.n, s.k), [x, s] {
            const OneThread alone;
            gemm(false, false, s.m, s.n, s.k, x->a.data(), s.k, x->b.data(), s.n, x->c.data(), s.n, false);
          }};
}

// As plans run the products of steps, where the processor has them; else as `gemm` does.
Timed product_of_steps() {
  if (!detail::has_packed_gemm()) return product<float>(step);
  const Array a({step.m, step.k}), b({step.k, step.n});
  Array packed({detail::packed_size(step.k, step.n)});
  detail::pack(false, step.k, step.n, b.span<float>().data(), step.n, packed.span<float>().data());
  return {fmt::format("f32 product {} x {} x {}, packed", step.m, step.n, step.k),
          [a, packed, c = Array({step.m, step.n})]() mutable {
            const OneThread alone;
            detail::packed_gemm(false, step.m, step.n, step.k, a.span<float>().data(), step.k,
                                packed.span<float>().data(), c.span<float>().data(), step.n, false);
          }};
}

/// A compiled function of an array of zeros, with the threads that there are, or one.
template <class F>
Timed compiled(std::string what, Index rows, Index cols, bool alone, F f) {
  const Array x({rows, cols});
  const CompileOptions options{.check = SelfCheck::off, .choices = alone ? "one_thread=1" : "one_thread=0"};
  const auto step_of = [&] { return rw::compile(f, options, x); };
  const auto replay = std::make_shared<decltype(step_of())>(step_of());
  return {std::move(what), [replay, x] { (*replay)(x); }};
}

/// How long it takes, at the least, until two threads have begun a job and each has seen that the other is there.
class Meeting {
 public:
  void try_once() {
    std::atomic<int> here{0};
    std::atomic<bool> met{true};
    const double begin = now();
    parallel_for(2, [&](Index) {
      ++here;
      while (here < 2)
        if (now() - begin > patience) met = false, here = 2;  // on a busy machine the other may not come
    });
    if (met) least_ = std::min(least_, now() - begin);
  }
  bool happened() const { return least_ < patience; }
  double us() const { return 1e6 * least_; }

 private:
  static constexpr double patience = 1e-4;
  double least_ = 1;
};

constexpr double gate_ops = 6;
Tensor gates(Tape&, Tensor x) { return sigmoid(x) * tanh(x) + sigmoid(x + x); }
Tensor one_op(Tape&, Tensor x) { return softmax(x); }

constexpr Index block_rows = 64, block_cols = 1024;  // elements of which a kernel is shared among threads
constexpr Index far_floats = Index{1} << 24;         // 64 MB: beyond most caches

}  // namespace

MeasuredMachine measure_machine(double seconds) {
  const double begin = now();
  enum { small, row, steps, whole, f64, f64_whole, gate, shared, other, memory };
  Meeting meeting;
  std::vector<Timed> timed;
  timed.push_back(product<float>(tiny));
  timed.push_back(product<float>(one_row));
  timed.push_back(product_of_steps());
  timed.push_back(product<float>(all_steps));
  timed.push_back(product<double>(step));
  timed.push_back(product<double>(all_steps));
  timed.push_back(compiled("kernel of 64 x 1024 elements", block_rows, block_cols, true, gates));
  timed.push_back(compiled("the same, shared among threads", block_rows, block_cols, false, gates));
  timed.push_back(compiled("softmax of 64 x 1024 elements", block_rows, block_cols, true, one_op));
  timed.emplace_back("memory", [from = Array({far_floats}), to = Array({far_floats})]() mutable {
    std::copy_n(from.span<float>().data(), far_floats, to.span<float>().data());
  });
  MeasuredMachine out;
  for (; out.rounds == 0 || now() - begin < seconds; ++out.rounds) {
    for (Timed& t : timed) t.measure();
    for (int i = 0; i < 10 && threads() > 1; ++i) meeting.try_once();
  }

  const auto us = [&](int which) { return timed[static_cast<std::size_t>(which)].us(); };
  const double elements = static_cast<double>(block_rows * block_cols);
  ir::Costs& c = out.costs;
  c.multiplication = us(steps) / step.multiplications();
  c.of_one_row = us(row) / one_row.multiplications();
  c.of_f64 = us(f64) / step.multiplications();
  c.product = std::max(us(small) - c.multiplication * tiny.multiplications(), 0.02);
  c.element = us(gate) / elements / gate_ops;
  c.other_element = us(other) / elements;
  // Where the other cores were busy all the time, this says nothing of threads.
  const bool shares = meeting.happened() && us(shared) < 0.9 * us(gate);
  if (shares) {
    c.from_other = meeting.us() / 2;
    c.hand_over = std::max(us(shared) - 1.05 * us(gate) / threads(), meeting.us());  // see ir::shared_cost
  }
  c.far_byte = us(memory) / static_cast<double>(far_floats * 8);

  const auto rate = [&](int which, double work, const char* unit) {
    out.rates.push_back({timed[static_cast<std::size_t>(which)].what, work / us(which) * 1e-3, unit});
  };
  const std::pair<int, Size> products[] = {
      {row, one_row}, {steps, step}, {whole, all_steps}, {f64, step}, {f64_whole, all_steps}};
  for (const auto& [which, size] : products) rate(which, 2 * size.multiplications(), "GFLOP/s");
  rate(gate, gate_ops * elements, "elements of an op a ns");
  rate(memory, static_cast<double>(far_floats * 8), "GB/s");
  if (meeting.happened()) out.rates.push_back({"two threads meet", meeting.us(), "us"});
  if (shares) out.rates.push_back({"a kernel shared among threads, beside its work", c.hand_over, "us"});
  if (threads() > 1 && !shares)
    out.rates.push_back({"the other cores were busy: built in, sharing a kernel", c.hand_over, "us"});
  return out;
}

}  // namespace rw::cli

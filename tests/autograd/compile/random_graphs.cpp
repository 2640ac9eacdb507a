#include <array>
#include <cmath>
#include <set>
#include <string>

#include <doctest/doctest.h>

#include <rewind/core/random.h>
#include <rewind/core/threads.h>
#include <rewind/ops/ops.h>

#include "../../effort.h"
#include "agree.h"
#include "hand_lstm.h"

namespace rw {
namespace {

using namespace rw::test;

constexpr Index N = 3;

/// A function made at random: ops of every kind over values of a few shapes.
struct RandomFunction {
  std::uint64_t seed;
  std::vector<Parameter*> parameters;  // [H, H], [H, H], [H]
  Index N = 3, H = 4;
  int ops = 25;
  bool recorded = false;

  std::vector<Tensor> operator()(Tape& tape, const std::vector<Tensor>& in) const {
    Rng rng(seed);
    const auto below = [&](std::size_t n) { return static_cast<std::size_t>(rng.next() % n); };
    std::vector<Tensor> pool{in[0], in[1]};  // all [N, H]
    const auto pick = [&] { return pool[pool.size() - 1 - below(std::min<std::size_t>(pool.size(), 6))]; };
    for (int i = 0; i < ops; ++i) {
      const Tensor a = pick(), b = pick();
      switch (below(14)) {
        case 0: pool.push_back(a + b); break;
        case 1: pool.push_back(a * b); break;
        case 2: pool.push_back(tanh(a - b)); break;
        case 3: pool.push_back(sigmoid(a)); break;
        case 4: pool.push_back(matmul(a, *parameters[below(2)])); break;
        case 5: pool.push_back(matmul(a, *parameters[below(2)], {.transpose_b = true})); break;
        case 6: pool.push_back(a * *parameters[2]); break;
        case 7: pool.push_back(concat({slice(a, 1, H / 2, H / 2), slice(b, 1, 0, H / 2)}, 1)); break;
        case 8: pool.push_back(concat({slice(a, 0, 1, N - 1), slice(b, 0, 0, 1)}, 0)); break;
        case 9: pool.push_back(a - mean(b, {1}, true)); break;
        case 10: pool.push_back(softmax(a)); break;
        case 11: pool.push_back(reshape(transpose(reshape(a, {H, N})), {N, H})); break;
        case 12: pool.push_back(broadcast_to(sum(a, {0}, true), Shape{N, H}) * 0.25 + tape.constant(0.5)); break;
        default: pool.push_back(maximum(a, detach(b)) * 0.5); break;
      }
    }
    const Tensor loss = mean(pick() * tape.constant(random_array(Shape{N, H}, 5))) + mean(tanh(pick()));
    std::vector<Tensor> out{loss, pick(), pick(), in[0]};
    if (recorded) {
      std::vector<Operand> x{in[0], in[1]};
      for (Parameter* p : parameters) x.emplace_back(*p);
      for (const Tensor& g : grad(loss, x)) out.push_back(g);
    } else if (loss.needs_grad()) {
      backward(loss);
    }
    return out;
  }
};

// Kernels side by side wherever it can be done.
void check_threads(const RandomFunction& f, const std::vector<Array>& inputs) {
  const int before = threads();
  std::vector<Array> one;
  for (const int n : {1, 2, 3}) {
    set_threads(n);
    for (Parameter* p : f.parameters) p->zero_grad();
    auto step = compile(f, CompileOptions{.branch_from = 0}, inputs);
    std::vector<Array> found;
    for (const Tensor& t : step(inputs)) found.push_back(t.array());
    for (Parameter* p : f.parameters) found.push_back(p->grad());
    if (n == 1) one = found;
    for (std::size_t i = 0; i < found.size(); ++i) CHECK(found[i] == one[i]);
  }
  set_threads(before);
}

void check_random_graphs(Index N, Index H, DType dtype, double tolerance, std::uint64_t graphs) {
  Parameter A("A", random_array(Shape{H, H}, 1, 1.4 / std::sqrt(H), dtype)),
      B("B", random_array(Shape{H, H}, 2, 1.4 / std::sqrt(H), dtype)), v("v", random_array(Shape{H}, 3, 1, dtype));
  const std::vector<Array> inputs{random_array(Shape{N, H}, 4, 1, dtype), random_array(Shape{N, H}, 6, 1, dtype)};
  for (std::uint64_t seed = 0; seed < rw::test::effort(graphs); ++seed) {
    CAPTURE(seed);
    RandomFunction f{seed, {&A, &B, &v}, N, H};
    CHECK(disagreement(f, inputs, f.parameters) < tolerance);
    const Pass one = all_passes[seed % all_passes.size()];
    CHECK(disagreement(f, inputs, f.parameters, {.passes = one}) < tolerance);
    CHECK(disagreement(f, inputs, f.parameters, {.passes = Passes::all() - one}) < tolerance);
    const int before = threads();
    set_threads(3);
    CHECK(disagreement(f, inputs, f.parameters, {.branch_from = 0}) < tolerance);
    set_threads(before);
    check_threads(f, inputs);
    f.recorded = true;
    CHECK(disagreement(f, inputs, {}, {.passes = Passes::exact()}) == 0);
  }
}

TEST_CASE("random graphs do the same compiled") {
  check_random_graphs(3, 4, DType::f32, 2e-5, 60);
  check_random_graphs(3, 4, DType::f64, 1e-12, 60);
}

TEST_CASE("random graphs of values large enough to stand in each other's place do the same compiled") {
  check_random_graphs(6, 64, DType::f64, 1e-12, 60);
}

TEST_CASE("random graphs of rows that are computed block by block do the same compiled") {
  check_random_graphs(2, 640, DType::f64, 1e-12, 12);
}

/// A cell made at random: products of x and h, one or two of what it has made of h, and ops between them: elementwise,
/// with a vector (peepholes), and with sums of rows (layer norm).
struct RandomCell {
  static constexpr Index H = 32;  // shorter rows are not summed in kernels
  std::uint64_t seed;
  int stages;  // products that wait for each other
  bool sums;
  Parameter W, R, Q, S, b, v;
  RandomCell(std::uint64_t s, int dependent, bool row_sums)
      : seed(s),
        stages(dependent),
        sums(row_sums),
        W("W", random_array(Shape{H, 3 * H}, s + 1, 0.2)),
        R("R", random_array(Shape{H, 3 * H}, s + 2, 0.2)),
        Q("Q", random_array(Shape{H, H}, s + 3, 0.2)),
        S("S", random_array(Shape{H, H}, s + 4, 0.2)),
        b("b", random_array(Shape{3 * H}, s + 5, 0.5)),
        v("v", random_array(Shape{H}, s + 6, 0.5)) {}

  std::pair<Tensor, Tensor> step(Tensor x, Tensor h, Tensor c) {
    Rng rng(seed);
    const auto below = [&](std::size_t n) { return static_cast<std::size_t>(rng.next() % n); };
    const auto [p, q, r] = split<3>(matmul(x, W) + matmul(h, R) + b);
    std::vector<Tensor> pool{p, q, r, h, c};
    std::set<std::array<std::size_t, 3>> chosen;
    const auto mix = [&](int ops) {
      for (int i = 0; i < ops; ++i) {
        const std::array choice{below(pool.size()), below(pool.size()), below(sums ? 7 : 6)};
        if (!chosen.insert(choice).second) continue;
        const Tensor u = pool[choice[0]], w = pool[choice[1]];
        switch (choice[2]) {
          case 0: pool.push_back(sigmoid(u) * w); break;
          case 1: pool.push_back(tanh(u + w)); break;
          case 2: pool.push_back(u - sigmoid(w)); break;
          case 3: pool.push_back(tanh(u) * sigmoid(w)); break;
          case 4: pool.push_back(softplus(u) * 0.3 + w); break;
          case 5: pool.push_back(tanh(u + w * v)); break;
          default: pool.push_back(tanh(u - mean(w, {-1}, true))); break;
        }
      }
    };
    mix(4);
    const Tensor gate = sigmoid(p + pool.back());
    for (int k = 1; k < stages; ++k) {
      pool.push_back(matmul(gate * pool.back(), k == 1 ? Q : S));
      mix(4);
    }
    Tensor all = pool[5];
    for (std::size_t i = 6; i < pool.size(); ++i) all = all + pool[i];
    return {tanh(all) * gate, sigmoid(q) * c + tanh(pool.back() + r)};
  }

  std::vector<Tensor> run(const std::vector<Tensor>& in, bool training) {
    Tensor h = in[1], c = in[1];
    std::vector<Tensor> all;
    for (Index t = 0; t < in[0].size(0); ++t) {
      std::tie(h, c) = step(select(in[0], 0, t), h, c);
      all.push_back(h);
    }
    const Tensor loss = sum(stack(all));
    if (training) backward(loss);
    return {loss};
  }
};

/// The number before a word in what `explain` says first.
int count_of(const std::string& text, const std::string& word) {
  const std::size_t end = text.find(' ' + word);
  REQUIRE(end != std::string::npos);
  return std::stoi(text.substr(text.rfind(' ', end - 1) + 1));
}

TEST_CASE("random cells run their products and one kernel for each dependent stage") {
  for (std::uint64_t seed = 0; seed < rw::test::effort(rw::test::full() ? 200 : 80); ++seed) {
    CAPTURE(seed);
    const int stages = 1 + static_cast<int>(seed % 3);
    RandomCell cell(seed * 100, stages, seed % 2 == 0);
    const auto steps = [&](int T, bool training) {
      const std::vector<Array> inputs{random_array(Shape{T, N, RandomCell::H}, 4),
                                      random_array(Shape{N, RandomCell::H}, 6)};
      const auto f = [&](Tape&, const std::vector<Tensor>& in) { return cell.run(in, training); };
      const std::vector<Parameter*> parameters{&cell.W, &cell.R, &cell.Q, &cell.S, &cell.b, &cell.v};
      if (training && T == 4 && seed % 8 == 0) CHECK(disagreement(f, inputs, parameters) < 5e-5);
      auto step = compile(f, inputs);
      const std::string said = step.explain();
      return std::array{products_of(step), static_cast<int>(step.kernels()), count_of(said, "copies"),
                        count_of(said, "other ops")};
    };
    // What each further step adds.
    const auto more = [&](bool training) {
      const auto few = steps(4, training), many = steps(6, training);
      std::array<int, 4> out{};
      for (std::size_t k = 0; k < out.size(); ++k) out[k] = many[k] - few[k];
      return out;
    };
    for (const bool training : {false, true}) {
      CAPTURE(training);
      const auto [products, kernels, copies, others] = more(training);
      const int each = training ? 4 * stages : 2 * stages;
      CHECK(products == each);
      CHECK(kernels <= each);
      CHECK(copies <= 2);  // one a step, where two concatenations want a value
      CHECK(others == 0);
    }
  }
}

}  // namespace
}  // namespace rw

// Every op and its gradient in both kinds of header, so that none is forgotten.

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <functional>
#include <set>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <rewind/autograd/program/graph.h>
#include <rewind/autograd/transform/custom_vjp.h>
#include <rewind/autograd/transform/implicit.h>
#include <rewind/autograd/transform/sparse.h>
#include <rewind/models/models.h>
#include <rewind/ops/ops.h>

#include "../../paths.h"
#include "../gradcheck/op_cases.h"
#include "exported.h"

namespace rw {
namespace {

using namespace rw::test;
using Tensors = std::vector<Tensor>;

const std::vector<Shape> shapes = {{2, 3}, {3, 3}, {3, 2}, {2, 3}, {3}, {2, 1}, {}, {2, 2, 3}, {2, 2, 3}, {3}};
constexpr Index width = 60, T = 6;

/// Numbers x [width] as tensors of these shapes.
Tensors parts_of(Tensor x) {
  Tensors all;
  Index at = 0;
  for (const Shape& s : shapes) {
    all.push_back(reshape(slice(x, 0, at, s.size()), s));
    at += s.size();
  }
  return all;
}

/// A function of x [width], and what it is about.
struct Case {
  std::string name;
  std::function<Tensor(Tensor)> f;
  bool draws = false;
};

/// Its value, and the gradient of a scalar of it in which every element counts differently.
Tensor with_gradient(const Case& c, Tensor x) {
  const Tensor y = reshape(c.f(x), {-1});
  Array factors(y.shape(), DType::f64);
  for (Index i = 0; i < y.size(); ++i) factors.set({i}, 0.3 + 0.1 * static_cast<double>(i % 7));
  if (!y.needs_grad()) return y;
  return concat({y, grad(sum((y + square(y)) * x.tape().constant(factors)), x)}, 0);
}

/// A case of op_cases on inputs that it can take: which ones is chosen at random.
Case chosen(const OpCase& c) {
  for (std::uint64_t seed = 11;; ++seed) {
    const auto f = [&c, seed](Tensor x) {
      Pool pool(x.tape(), parts_of(x));
      Rng rng(seed);
      return c.make(pool, rng);
    };
    try {
      Tape tape(DType::f64);
      const Tensor x = tape.variable(Array(Shape{width}, DType::f64));
      f(x);
      return {c.name, f, c.name == "dropout" || c.name == "bernoulli_mask"};
    } catch (const Error&) {  // shapes that do not fit
    }
  }
}

std::vector<Case> cases() {
  std::vector<Case> all;
  for (const OpCase& c : op_cases()) all.push_back(chosen(c));
  const auto add = [&](const std::string& name, std::function<Tensor(const Tensors&)> f) {
    all.push_back({name, [f = std::move(f)](Tensor x) { return f(parts_of(x)); }});
  };
  add("sparse Jacobian",
      [](const Tensors& p) { return sparse_jacobian([&](Tensor a) { return a * sin(a) + flip(a, 0); }, p[4]).values; });
  add("while_loop", [](const Tensors& p) {
    return while_loop([](Tensor a) { return sum(square(a)) < 20; }, [](Tensor a) { return a * 1.5; }, p[0],
                      {.at_most = 5});
  });
  add("scan", [](const Tensors& p) { return scan([](Tensor s, Tensor a) { return tanh(s + a); }, p[4], p[1]); });
  add("argmin", [](const Tensors& p) {
    const Tensor a = test::detail::near_identity(p[1]), b = p[4];  // which the gradient's rule keeps
    const auto error = [a, b](Tensor y) { return sum(square(reshape(matmul(a, reshape(y, {3, 1})), {3}) - b)); };
    return argmin(error, 0 * b, {.traced_steps = 2});
  });
  add("custom_vjp", [](const Tensors& p) {
    return custom_vjp([](Tensor a) { return floor(3 * a); }, [](Tensor, Tensor, Tensor dy) { return 3 * dy; })(p[0]);
  });
  return all;
}

/// A function of x at each step, and of its mean over all.
RecordedStep step_of(const std::function<Tensor(Tensor)>& f, DType real) {
  return record_step(
      {{width}}, real, [](Tape& t) { return t.constant(0, {1}); }, [&](Tensor x, Tensor&) { return f(x); });
}
RecordedSequence sequence_of(const std::function<Tensor(Tensor)>& f, DType real) {
  return record_sequence(
      {{width}}, real,
      [](Tape& t, Index batch) {
        return t.constant(0, {batch, 1});
      },
      [&](Tensor x, Tensor&) {
        return f(mean(x, {0, 1}));
      });
}

Array numbers(Index steps) {
  Rng rng(3);
  return uniform(rng, {steps, width}, -1, 1);
}

/// Functions as both kinds of header, beside the tape.
class Functions {
 public:
  void add(const std::string& name, const std::function<Tensor(Tensor)>& f, DType real) {
    const std::size_t step = exports_.add(step_of(f, real)), sequence = exports_.add(sequence_of(f, real));
    all_.push_back({name, f, real, step, sequence});
  }
  void check() {
    exports_.load();
    const Array x = numbers(T);
    for (const auto& [name, f, real, step, sequence] : all_) {
      CAPTURE(name);
      const auto on_tape = [&](DType type, const auto& of) {
        Tape tape(type);
        return f(of(tape.variable(x))).array();
      };
      const auto first = [](Tensor all) { return reshape(slice(all, 0, 0, 1), {width}); };
      const auto mean_of = [](Tensor all) { return mean(all, 0); };
      const Array steps = exports_.run(step, x);
      near(slice_of(steps), on_tape(real, first), on_tape(DType::f64, first), real);
      near(exports_.run_sequence(sequence, x).first, on_tape(real, mean_of), on_tape(DType::f64, mean_of), real);
    }
  }

 private:
  struct Trial {
    std::string name;
    std::function<Tensor(Tensor)> f;
    DType real;
    std::size_t step, sequence;
  };
  static Array slice_of(const Array& steps) {
    std::vector<double> all = steps.to_vector<double>();
    all.resize(static_cast<std::size_t>(steps.shape()[1]));
    return Array(all);
  }
  static void near(const Array& found, const Array& tape, const Array& exact, DType real) {
    const double most = std::max(largest(exact), 1e-3);
    CHECK(difference(found, tape) <= (real == DType::f64 ? 1e-12 : 2e-6) * most);
    if (real == DType::f32) CHECK(difference(found, exact) <= 2 * difference(tape, exact) + 4 * 6e-8 * most);
  }
  Exports exports_;
  std::vector<Trial> all_;
};

std::string refusal(const std::function<void()>& f) {
  try {
    f();
  } catch (const Error& e) {
    return e.what();
  }
  return "";
}

/// The ops that a program is made of.
void add_ops(const RecordedStep& step, std::set<std::string>& names) {
  const std::vector<Tensor> y{step.y}, x{step.x, step.state[0]};
  for (const ir::Node& n : ir::from_tape(step.tape, y, x).nodes) names.emplace(n.info->name);
}

/// What the sources call ops, in the folders that have some.
std::set<std::string> ops_in_sources() {
  std::set<std::string> all;
  const std::string key = "static constexpr std::string_view name = \"";
  for (const char* room : {"ops", "autograd", "autograd/transform"})
    for (const auto& file : std::filesystem::directory_iterator(source_dir() + "/" + room)) {
      std::ifstream in(file.path());
      for (std::string line; file.is_regular_file() && std::getline(in, line);) {
        const std::size_t at = line.find(key);
        if (at == std::string::npos || line.find("//") < at) continue;
        all.insert(line.substr(at + key.size(), line.rfind('"') - at - key.size()));
      }
    }
  return all;
}

TEST_CASE("every op and its gradient has a form in both kinds of header, but for what draws random numbers") {
  std::set<std::string> tried;
  Functions functions;
  std::vector<Case> few;  // each with an op that those before it have not
  const std::vector<Case> all = cases();
  for (const Case& c : all) {
    CAPTURE(c.name);
    const std::size_t known = tried.size();
    const auto f = [&c](Tensor x) { return with_gradient(c, x); };
    const RecordedStep step = step_of(f, DType::f32);
    add_ops(step, tried);
    const std::string no_step = refusal([&] { make_header(step); });
    const std::string no_sequence = refusal([&] { make_header(sequence_of(f, DType::f32)); });
    for (const std::string& why : {no_step, no_sequence})
      CHECK_MESSAGE((c.draws ? why.find("call eval()") != why.npos : why.empty()), why);
    if (!c.draws && tried.size() > known) few.push_back(c);
    if (c.draws || !full()) continue;
    functions.add(c.name, f, DType::f32);
    functions.add(c.name, f, DType::f64);
  }
  const auto together = [&](Tensor x) {
    Tensors y;
    for (const Case& c : few) y.push_back(with_gradient(c, x));
    return concat(y, 0);
  };
  if (!full()) functions.add("together", together, DType::f64);
  functions.check();

  const std::set<std::string> leaves{"constant", "variable", "parameter", "input", "random_key"};
  const std::set<std::string> sources = ops_in_sources();
  CHECK(sources.size() > 70);
  for (const std::string& name : sources) CHECK_MESSAGE((tried.contains(name) || leaves.contains(name)), name);
}

}  // namespace
}  // namespace rw

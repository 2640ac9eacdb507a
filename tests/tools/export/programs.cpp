#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <rewind/autograd/compile/check/reference.h>
#include <rewind/ops/ops.h>

#include "../../autograd/compile/fuzz/generate.h"
#include "exported.h"

// Random programs, gradients and all, as headers: what is not a constant there is x or the state.

namespace rw {
namespace {

using namespace rw::test;

/// All results in one row.
Tensor joined(const std::vector<Tensor>& all) {
  std::vector<Tensor> rows;
  for (const Tensor& t : all) rows.push_back(reshape(t, {t.size()}));
  return concat(rows, 0);
}

struct Random {
  fuzz::Program program;
  std::vector<Array> leaves{};

  explicit Random(std::uint64_t seed) : program(fuzz::random_program(seed)) {
    // A plain backward adds to parameters, which is no result.
    if (program.gradient == fuzz::Gradient::plain) program.gradient = fuzz::Gradient::recorded;
    for (std::size_t i = 0; i < program.leaves.size(); ++i)
      leaves.push_back(fuzz::random_leaf(program.leaves[i], i, DType::f32));
  }

  Tensor run(Tape& tape, const std::vector<Tensor>& x) const { return joined(fuzz::Run(program, tape)(x)); }
  Array on_tape(DType real) const {
    Tape tape(real);
    std::vector<Tensor> x;
    for (const Array& leaf : leaves) x.push_back(tape.variable(leaf));
    return run(tape, x).array();
  }
  /// What rounding does to it: how far f32 is off, and how far it moves when every op rounds as f32 does.
  double rounding() const {
    const Array exact = on_tape(DType::f64);
    Tape tape(DType::f64);
    std::vector<Tensor> x;
    for (const Array& leaf : leaves) x.push_back(tape.variable(leaf.to(DType::f64)));
    const std::vector<Tensor> y{run(tape, x)};
    const ir::Graph graph = ir::from_tape(tape, y, {});
    double most = difference(on_tape(DType::f32), exact);
    for (std::uint64_t draw = 1; draw <= 8; ++draw)
      most = std::max(most, difference(ir::Reference(graph, DType::f64, {}, 6e-8, draw).outcome().results[0], exact));
    return most;
  }
  RecordedStep record(DType real) const {
    const auto start = [&](Tape& tape) {
      std::vector<Tensor> state;
      for (std::size_t i = 1; i < leaves.size(); ++i) state.push_back(tape.constant(leaves[i]));
      return state;
    };
    return record_step({leaves[0].shape()}, real, start, [&](Tensor x, std::vector<Tensor>& state) {
      std::vector<Tensor> all{x};
      all.insert(all.end(), state.begin(), state.end());
      return run(x.tape(), all);
    });
  }
};

/// Why it cannot be a header; empty when it can.
std::string refusal(const Random& random) {
  if (random.leaves[0].size() == 0) return "nothing enters";
  try {
    make_header(random.record(DType::f32));
    return "";
  } catch (const Error& e) {
    return e.what();
  }
}

TEST_CASE("random programs as headers give what the tape gives") {
  const std::size_t count = rw::test::full() ? 60 : 15;
  Exports exports;
  std::vector<Random> all;
  for (std::uint64_t seed = 0; all.size() < count; ++seed) {
    Random random(seed);
    if (random.on_tape(DType::f64).size() == 0) continue;
    if (const std::string why = refusal(random); !why.empty()) {
      CAPTURE(seed);
      CAPTURE(why);
      CHECK((why.find("call eval()") != why.npos || why == "nothing enters"));
      continue;
    }
    exports.add(random.record(DType::f64));
    exports.add(random.record(DType::f32));
    all.push_back(std::move(random));
  }
  exports.load();
  for (std::size_t i = 0; i < all.size(); ++i) {
    const Array y64 = exports.run(2 * i, all[i].leaves[0]), y32 = exports.run(2 * i + 1, all[i].leaves[0]);
    const Array exact = all[i].on_tape(DType::f64);
    CAPTURE(i);
    CAPTURE(fuzz::to_cpp(all[i].program, DType::f32, "t", "{}"));
    const double rounding = all[i].rounding();
    CHECK(difference(y64, exact) <= 1e-7 * rounding + 1e-13 * largest(exact));
    CHECK(difference(y32, exact) <= 16 * rounding + 5e-7 * largest(exact));
  }
}

}  // namespace
}  // namespace rw

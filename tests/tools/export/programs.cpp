#include <string>
#include <vector>

#include <doctest/doctest.h>

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

/// Programs as headers. Compiling takes most of the time: every third one in f64.
struct Headers {
  explicit Headers(std::size_t count) {
    for (std::uint64_t seed = 0; all.size() < count; ++seed) {
      Random random(seed);
      if (random.on_tape(DType::f64).size() == 0) continue;
      if (const std::string why = refusal(random); !why.empty()) {
        CAPTURE(seed);
        CAPTURE(why);
        CHECK((why.find("call eval()") != why.npos || why == "nothing enters"));
        continue;
      }
      f32.push_back(exports.add(random.record(DType::f32)));
      if (all.size() % 3 == 0) f64.push_back(exports.add(random.record(DType::f64)));
      all.push_back(std::move(random));
    }
    exports.load();
  }
  Array run(std::size_t header, std::size_t program) const { return exports.run(header, all[program].leaves[0]); }

  Exports exports{};
  std::vector<Random> all{};
  std::vector<std::size_t> f32{}, f64{};
};

// No program is left out: where one is ill-conditioned, the tape's own error says so, and the header must do as well.
TEST_CASE("random programs as headers give what the tape gives, and are as exact") {
  const Headers headers(rw::test::full() ? 200 : 15);
  for (std::size_t i = 0; i < headers.all.size(); ++i) {
    const Random& random = headers.all[i];
    const Array y = headers.run(headers.f32[i], i), tape = random.on_tape(DType::f32);
    const Array exact = random.on_tape(DType::f64);
    const double most = largest(exact);
    CAPTURE(i);
    CAPTURE(fuzz::to_cpp(random.program, DType::f32, "t", "{}"));
    CHECK(difference(y, tape) <= 2e-6 * most);
    CHECK(difference(y, exact) <= 2 * difference(tape, exact) + 4 * 6e-8 * most);
    if (i % 3 == 0) CHECK(difference(headers.run(headers.f64[i / 3], i), exact) <= 1e-13 * most);
  }
}

}  // namespace
}  // namespace rw

#include <doctest/doctest.h>

#include <rewind/autograd/backward.h>
#include <rewind/models/cells/gru.h>
#include <rewind/models/cells/zoneout.h>

#include "../sequence.h"
#include "checks.h"

using namespace rw;
using namespace rw::test;

namespace {

constexpr Index many = 40;

LstmCell lstm() {
  Rng rng(1);
  return LstmCell(I, many, rng);
}

template <class C>
std::vector<typename C::State> run(const C& cell, Tape& tape) {
  return unroll(cell, tape.constant(sequence()), random_state(cell, tape, N));
}

}  // namespace

TEST_CASE("zoneout: each number of the state is the old one or the new one, in its rate, and anew at each step") {
  const Zoneout cell(lstm(), {0.25, 0.5});
  Tape tape;
  const auto states = run(cell, tape);
  std::vector<Array> kept;
  double share_h = 0, share_c = 0;
  for (std::size_t t = 1; t < T; ++t) {
    const auto old = states[t - 1];
    const auto next = cell.cell().step(at_step(tape.constant(sequence()), static_cast<Index>(t)), old);
    const auto count = [&](Tensor now, Tensor before, Tensor after, double& share) {
      Array which(now.shape());
      for (Index n = 0; n < N; ++n)
        for (Index k = 0; k < many; ++k) {
          const double value = now.array().at({n, k});
          const bool stayed = value == before.array().at({n, k});
          which.span<float>()[static_cast<std::size_t>(n * many + k)] = stayed ? 1 : 0;
          share += stayed ? 1.0 / ((T - 1) * N * many) : 0;
          if (!stayed) CHECK(value == doctest::Approx(after.array().at({n, k})).epsilon(1e-5));
        }
      kept.push_back(which);
    };
    count(states[t].h, old.h, next.h, share_h);
    count(states[t].c, old.c, next.c, share_c);
  }
  CHECK(share_h == doctest::Approx(0.25).epsilon(0.3));
  CHECK(share_c == doctest::Approx(0.5).epsilon(0.2));
  CHECK_FALSE(kept[0] == kept[2]);
  CHECK_FALSE(kept[0] == kept[1]);
}

TEST_CASE("zoneout: in use the state is the mean, and a rate of 0 is the cell itself") {
  Zoneout cell(lstm(), {0.25, 0.5});
  cell.eval();
  Tape tape;
  const auto start = random_state(cell, tape, N);
  const Tensor x = at_step(tape.constant(sequence()), 0);
  const auto found = cell.step(x, start), next = cell.cell().step(x, start);
  CHECK(distance(found.h, 0.25 * start.h + 0.75 * next.h) < 1e-6);
  CHECK(distance(found.c, 0.5 * start.c + 0.5 * next.c) < 1e-6);
  const Zoneout none(lstm(), {0});
  CHECK(run(none, tape).back().h.array() == run(none.cell(), tape).back().h.array());
}

TEST_CASE("zoneout: draws are keyed, and derivatives right") {
  Rng rng(1);
  Zoneout cell(GruCell(I, H, rng), {0.4});
  const auto last = [&](std::uint64_t seed, std::uint64_t step) {
    Tape tape(TapeOptions{.seed = seed});
    tape.set_step(step);
    return run(cell, tape).back().h.array();
  };
  CHECK(last(1, 0) == last(1, 0));
  CHECK_FALSE(last(1, 0) == last(2, 0));
  CHECK_FALSE(last(1, 0) == last(1, 1));
  check_gradients(cell, sequence().to(DType::f64));
  cell.eval();
  CHECK_FALSE(cell.cell().training());
  check_gradients(cell, sequence().to(DType::f64));
  CHECK(cell.parameters()[0].name == "W");
}

TEST_CASE("zoneout: clones, and around a user's cell and a stack") {
  Rng rng(1);
  Zoneout cell(lstm(), {0.25, 0.5});
  cell.eval();
  const auto copy = cell.clone();
  CHECK_FALSE(copy.training());
  Tape tape;
  CHECK(run(copy, tape).back().h.array() == run(cell, tape).back().h.array());
  const Zoneout own(UgrnnCell(I, H, rng), {0.3});
  CHECK(run(own, tape).back().h.shape() == Shape{N, H});
  const Zoneout stack(two_layers(rng), {0.3});
  CHECK(stack.rates().size() == 4);
  CHECK(outputs(stack, run(stack, tape)).shape() == Shape{T, N, H + 1});
}

TEST_CASE("zoneout: bad rates") {
  CHECK_THROWS_WITH_AS(Zoneout(lstm(), {0.1, 0.2, 0.3}),
                       "zoneout: 3 rates for a state of 2 tensors: give one for each, or one for all", Error);
  CHECK_THROWS_WITH_AS(Zoneout(lstm(), {}),
                       "zoneout: 0 rates for a state of 2 tensors: give one for each, or one for all", Error);
  CHECK_THROWS_WITH_AS(Zoneout(lstm(), {1}), "zoneout: a rate is 1: it must be in [0, 1)", Error);
  CHECK_THROWS_AS(Zoneout(lstm(), {0.1, -0.1}), Error);
}

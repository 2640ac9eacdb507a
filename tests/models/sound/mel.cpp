#include <cmath>
#include <complex>
#include <numbers>
#include <span>

#include <doctest/doctest.h>

#include <rewind/autograd/compile/compile.h>
#include <rewind/core/error.h>
#include <rewind/models/init.h>
#include <rewind/models/sound/mel.h>
#include <rewind/ops/arithmetic.h>
#include <rewind/ops/elementwise.h>
#include <rewind/ops/reduce.h>
#include <rewind/tools/gradcheck/gradcheck.h>

using namespace rw;

namespace {

double mel(double hz) { return 2595 * std::log10(1 + hz / 700); }

// The definition, one number at a time. x is sound [T, 1, block].
double feature(const Array& x, Index frame, Index band, const MelOptions& o) {
  const Index length = o.blocks * x.shape()[2];
  const double step = (mel(o.high) - mel(o.low)) / static_cast<double>(o.bands + 1);
  double sum = 0;
  for (Index f = 0; f <= length / 2; ++f) {
    std::complex<double> spectrum = 0;
    for (Index t = 0; t < length; ++t) {
      const double turn = 2 * std::numbers::pi * static_cast<double>(t) / static_cast<double>(length);
      const Index at = frame * x.shape()[2] + t;
      spectrum += std::polar(1.0, -turn * static_cast<double>(f)) * (0.5 - 0.5 * std::cos(turn)) *
                  x.at({at / x.shape()[2], 0, at % x.shape()[2]});
    }
    const double hz = static_cast<double>(f * o.rate) / static_cast<double>(length);
    const double from = mel(o.low) + step * static_cast<double>(band), place = mel(hz) - from;
    sum += std::norm(spectrum) * std::max(0.0, std::min(place, 2 * step - place) / step);
  }
  return std::log(sum + o.floor);
}

const MelOptions small{.rate = 800, .blocks = 3, .bands = 4, .low = 50, .high = 350, .floor = 1e-3};

}  // namespace

TEST_CASE("log-mel features are what the definition says") {
  Rng rng(3);
  for (const MelOptions& o : {small, MelOptions{.rate = 800, .blocks = 1, .bands = 1, .low = 0, .high = 400}}) {
    const Array x = uniform(rng, {5, 1, 9}, -1, 1).to(DType::f64);
    Tape tape(DType::f64);
    const Array y = log_mel(tape.constant(x), o).array();
    REQUIRE(y.shape() == Shape{6 - o.blocks, 1, o.bands});
    for (Index t = 0; t < y.shape()[0]; ++t)
      for (Index b = 0; b < o.bands; ++b) CHECK(y.at({t, 0, b}) == doctest::Approx(feature(x, t, b, o)).epsilon(1e-9));
  }
}

TEST_CASE("a tone is loudest in the band of its frequency, and silence has a logarithm") {
  const MelOptions o;  // 40 bands of sound at 16,000 samples a second
  Array x({5, 2, 160}, DType::f64);
  for (Index t = 0; t < 5 * 160; ++t)
    x.set({t / 160, 1, t % 160}, std::sin(2 * std::numbers::pi * 1000 * static_cast<double>(t) / 16000));
  Tape tape(DType::f64);
  const Array y = log_mel(tape.constant(x), o).array();
  REQUIRE(y.shape() == Shape{3, 2, 40});
  const double place = (mel(1000) - mel(80)) / ((mel(7600) - mel(80)) / 41);
  Index loudest = 0;
  for (Index b = 0; b < 40; ++b) {
    CHECK(y.at({2, 0, b}) == doctest::Approx(std::log(1e-6)));
    if (y.at({2, 1, b}) > y.at({2, 1, loudest})) loudest = b;
  }
  CHECK(std::abs(place - static_cast<double>(loudest + 1)) <= 0.5);
}

TEST_CASE("mfcc: an orthonormal cosine transform") {
  Rng rng(4);
  const Array x = uniform(rng, {2, 3, 8}, -1, 1).to(DType::f64);
  Tape tape(DType::f64);
  const Tensor features = tape.constant(x);
  CHECK(mfcc(features, 5).shape() == Shape{2, 3, 5});
  const Array all = mfcc(features, 8).array(), few = mfcc(features, 5).array();
  CHECK(sum(square(mfcc(features, 8))).item() == doctest::Approx(sum(square(features)).item()));
  CHECK(few.at({1, 2, 4}) == doctest::Approx(all.at({1, 2, 4})));
  double third = 0;
  for (Index b = 0; b < 8; ++b)
    third += 0.5 * x.at({1, 2, b}) * std::cos(std::numbers::pi * 3 * (static_cast<double>(b) + 0.5) / 8);
  CHECK(all.at({1, 2, 3}) == doctest::Approx(third));
  CHECK(mfcc(tape.constant(2, {1, 8}), 1).item() == doctest::Approx(2 * std::sqrt(8.0)));
}

TEST_CASE("gradients of orders 1 and 2, and the plan beside the tape") {
  Rng rng(5);
  const Array sound = uniform(rng, {4, 2, 9}, -1, 1);
  const auto features = [](Tensor x) { return mfcc(log_mel(x, small), 3); };
  for (const int order : {1, 2})
    CHECK(gradcheck([&](std::span<const Tensor> x) { return sum(square(features(x[0]))); }, {sound}, {.order = order})
              .ok());
  auto f = compile([&](Tape&, Tensor x) { return features(x); }, {.dtype = DType::f64}, sound);
  Tape tape(DType::f64);
  const Array eager = features(tape.constant(sound)).array(), planned(f(sound).value());
  for (Index i = 0; i < eager.size(); ++i)
    CHECK(planned.at({i / 6, i / 3 % 2, i % 3}) == doctest::Approx(eager.at({i / 6, i / 3 % 2, i % 3})));
}

TEST_CASE("what cannot be is refused, with the shapes") {
  Tape tape(DType::f64);
  const Tensor sound = tape.constant(0, {2, 1, 9});
  const auto says = [](auto f, const char* what) { CHECK_THROWS_WITH_AS(f(), doctest::Contains(what), Error); };
  const auto with = [&](auto change) {
    MelOptions o = small;
    o.blocks = 2;
    change(o);
    return [=] { log_mel(sound, o); };
  };
  CHECK(log_mel(sound, {.rate = 800, .blocks = 2, .bands = 2, .low = 0, .high = 400}).shape() == Shape{1, 1, 2});
  says([&] { log_mel(tape.constant(0, {2, 9}), small); }, "not (2, 9)");
  says([&] { log_mel(sound, small); }, "(2, 1, 9) has fewer blocks than a frame, 3");
  says(with([](MelOptions& o) { o.blocks = 0; }), "frames of 0 blocks");
  says(with([](MelOptions& o) { o.bands = 0; }), "0 bands");
  says(with([](MelOptions& o) { o.high = 401; }), "to 401 Hz");
  says(with([](MelOptions& o) { o.low = 350; }), "from 350 Hz to 350 Hz");
  says(with([](MelOptions& o) { o.low = NAN; }), "from nan Hz");
  says(with([](MelOptions& o) { o.floor = 0; }), "floor is 0");
  says(with([](MelOptions& o) { o.bands = 40; }), "take fewer bands or longer frames");
  says([&] { mfcc(sound, 10); }, "10 coefficients of features (2, 1, 9): there must be 1 to 9");
  says([&] { mfcc(sound, 0); }, "0 coefficients");
  says([&] { mfcc(tape.constant(1, {20})); }, "needs features [..., T, bands], not (20)");
}

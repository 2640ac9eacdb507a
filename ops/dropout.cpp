#include <algorithm>
#include <array>
#include <cstring>

#include <fmt/format.h>

#include <rewind/autograd/backward.h>
#include <rewind/core/error.h>
#include <rewind/core/random.h>
#include <rewind/core/threads.h>
#include <rewind/ops/arithmetic.h>
#include <rewind/ops/axes.h>
#include <rewind/ops/dropout.h>

namespace rw {
namespace {

/// From the tape's random key [4] to a mask of `shape`.
struct BernoulliMask {
  static constexpr std::string_view name = "bernoulli_mask";
  static constexpr int arity = 1;
  static constexpr std::array<std::string_view, 4> attribute_names{"shape", "draw", "rate", "kept"};
  static constexpr std::uint32_t integer_inputs = 0b1;
  Shape shape;
  Index draw = 0;
  double rate = 0, kept = 1;

  Shape infer(std::span<const Shape> in) const {
    if (in[0] != Shape{4}) throw Error("needs the tape's random key, not " + in[0].str());
    return shape;
  }

  void eval(std::span<const ConstView> x, View y) const {
    std::uint64_t seed_and_step[2];
    std::memcpy(seed_and_step, x[0].data, sizeof seed_and_step);
    // Two words of the draw's own block become its key and two the high half of its counters.
    const PhiloxCounter stream =
        philox(philox_counter(seed_and_step[1], static_cast<std::uint64_t>(draw)), philox_key(seed_and_step[0]));
    visit_real(y.dtype, [&]<class T>() {
      fill({stream[0], stream[1]}, {0, 0, stream[2], stream[3]}, y.size(), y.as<T>());
    });
  }

  std::string describe() const { return fmt::format("draw {}, rate {}", draw, rate); }

 private:
  template <class T>
  void fill(PhiloxKey key, PhiloxCounter first, Index n, T* y) const {
    constexpr Index block = 4096;
    const auto limit = static_cast<float>(rate);
    const auto one = static_cast<T>(kept);
    parallel_for((n + block - 1) / block, [&](Index b) {
      constexpr Index part = 256;
      float u[part];
      for (Index i = b * block; i < std::min(n, (b + 1) * block); i += part) {
        const Index count = std::min({part, n - i});
        PhiloxCounter at = first;
        const auto position = static_cast<std::uint64_t>(i / 4);
        at[0] = static_cast<std::uint32_t>(position);
        at[1] = static_cast<std::uint32_t>(position >> 32);
        fill_uniform(key, at, count, u);
        for (Index j = 0; j < count; ++j) y[i + j] = static_cast<T>(u[j] >= limit) * one;  // no branch to mispredict
      }
    });
  }
};

void check_rate(const Tape& tape, std::string_view op, double rate, bool scaled) {
  if (!(rate >= 0 && (scaled ? rate < 1 : rate <= 1)))
    throw tape.error(op, fmt::format("the rate must be in [0, 1{}, not {}", scaled ? ")" : "]", rate));
}

Tensor mask(std::string_view op, Tape& tape, const Shape& shape, double rate, bool scaled) {
  check_rate(tape, op, rate, scaled);
  const BernoulliMask op_with_draw{shape, tape.next_draw(), rate, scaled ? 1 / (1 - rate) : 1.0};
  return record(op_with_draw, {tape.random_key()});
}

}  // namespace

Tensor bernoulli_mask(Tape& tape, const Shape& shape, double rate) {
  return mask("bernoulli_mask", tape, shape, rate, false);
}

Tensor dropout_mask(Tape& tape, const Shape& shape, double rate) {
  return mask("dropout_mask", tape, shape, rate, true);
}

Tensor dropout_mask(Tape& tape, const Shape& shape, double rate, std::uint64_t key) {
  check_rate(tape, "dropout_mask", rate, true);
  constexpr std::uint64_t beyond_all_draws = std::uint64_t{1} << 32;  // those are counted in 32 bits
  return record(BernoulliMask{shape, static_cast<Index>(beyond_all_draws + key), rate, 1 / (1 - rate)},
                {tape.random_key()});
}

Tensor dropout(Operand operand, double rate) {
  const Tensor x = checked_tensor("dropout", operand);
  if (rate == 0) return x;
  return x * mask("dropout", x.tape(), x.shape(), rate, true);
}

}  // namespace rw

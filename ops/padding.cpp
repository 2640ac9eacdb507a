#include <algorithm>
#include <array>
#include <cstring>

#include <fmt/format.h>

#include <rewind/autograd/backward.h>
#include <rewind/autograd/tape.h>
#include <rewind/core/error.h>
#include <rewind/ops/padding.h>

namespace rw {
namespace {

/// Lengths of N sequences, all of them from 0 to `steps`.
std::span<const std::int32_t> checked_lengths(ConstView lengths, Index steps) {
  const std::span<const std::int32_t> all(lengths.as<std::int32_t>(), static_cast<std::size_t>(lengths.size()));
  for (std::size_t n = 0; n < all.size(); ++n)
    if (all[n] < 0 || all[n] > steps)
      throw Error(fmt::format("the length of sequence {} is {}: it must be from 0 to {}, the number of steps", n,
                              all[n], steps));
  return all;
}

void check_shapes(const Shape& x, const Shape& lengths) {
  if (x.rank() < 2 || lengths != Shape{x[1]})
    throw Error(fmt::format("takes sequences [T, N, ...] and lengths [N], not {} and {}", x.str(), lengths.str()));
}

/// Rows of x up to each sequence's length, zeros from there on. All bits 0 are the number 0 in every type.
void copy_without_padding(std::span<const ConstView> x, View y) {
  const Index steps = y.shape[0], batch = y.shape[1];
  const auto lengths = checked_lengths(x[1], steps);
  if (y.size() == 0) return;
  const auto bytes = static_cast<std::size_t>(y.size() / (steps * batch)) * size_of(y.dtype);
  const auto* from = static_cast<const std::byte*>(x[0].data);
  auto* to = static_cast<std::byte*>(y.data);
  for (Index t = 0; t < steps; ++t)
    for (std::int32_t length : lengths) {
      if (t < length)
        std::memcpy(to, from, bytes);
      else
        std::memset(to, 0, bytes);
      from += bytes;
      to += bytes;
    }
}

struct SequenceMask {
  static constexpr std::string_view name = "sequence_mask";
  static constexpr int arity = 1;
  static constexpr std::array<std::string_view, 2> attribute_names{"steps", "rank"};
  static constexpr std::uint32_t integer_inputs = 0b1;
  Index steps = 0, rank = 2;
  Shape infer(std::span<const Shape> in) const {
    if (in[0].rank() != 1) throw Error(fmt::format("lengths must be [N], not {}", in[0].str()));
    if (steps < 0) throw Error(fmt::format("cannot have {} steps", steps));
    if (rank < 2 || rank > max_rank) throw Error(fmt::format("rank must be from 2 to {}, not {}", max_rank, rank));
    Shape shape = in[0].inserted(0, steps);
    while (shape.rank() < rank) shape = shape.inserted(shape.rank(), 1);
    return shape;
  }
  void eval(std::span<const ConstView> x, View y) const {
    const auto lengths = checked_lengths(x[0], steps);
    visit_real(y.dtype, [&]<class T>() {
      T* to = y.as<T>();
      for (Index t = 0; t < steps; ++t)
        for (std::int32_t length : lengths) *to++ = t < length ? T(1) : T(0);
    });
  }
  std::string describe() const { return fmt::format("steps {}", steps); }
};

struct ClearPadding {
  static constexpr std::string_view name = "clear_padding";
  static constexpr int arity = 2;
  static constexpr bool moves_elements = true;
  static constexpr std::uint32_t integer_inputs = 0b10;
  Shape infer(std::span<const Shape> in) const {
    check_shapes(in[0], in[1]);
    return in[0];
  }
  void eval(std::span<const ConstView> x, View y) const { copy_without_padding(x, y); }
  void vjp(Vjp& g) const { g.add(0, record(ClearPadding{}, {g.dy(), g.x(1)})); }
};

/// The same of indices.
struct ClearIndices {
  static constexpr std::string_view name = "clear_padding";
  static constexpr int arity = 2;
  static constexpr bool any_dtype = true;
  Shape infer(std::span<const Shape> in) const {
    check_shapes(in[0], in[1]);
    return in[0];
  }
  void eval(std::span<const ConstView> x, View y) const { copy_without_padding(x, y); }
};

struct LengthsWithin {
  static constexpr std::string_view name = "lengths_within";
  static constexpr int arity = 1;
  static constexpr std::array<std::string_view, 3> attribute_names{"steps", "from", "count"};
  static constexpr bool any_dtype = true;
  Index steps = 0, from = 0, count = 0;
  Shape infer(std::span<const Shape> in) const {
    if (in[0].rank() != 1) throw Error(fmt::format("lengths must be [N], not {}", in[0].str()));
    if (from < 0 || count < 0 || from + count > steps)
      throw Error(fmt::format("steps {} to {} are not a part of {} steps", from, from + count, steps));
    return in[0];
  }
  void eval(std::span<const ConstView> x, View y) const {
    const auto lengths = checked_lengths(x[0], steps);
    std::transform(lengths.begin(), lengths.end(), y.as<std::int32_t>(), [&](std::int32_t length) {
      return static_cast<std::int32_t>(std::clamp<Index>(length - from, 0, count));
    });
  }
  std::string describe() const { return fmt::format("steps {} to {}", from, from + count); }
};

}  // namespace

Tensor sequence_mask(Tensor lengths, Index steps, int rank) { return record(SequenceMask{steps, rank}, {lengths}); }

Tensor clear_padding(Operand x, Tensor lengths) {
  return x.tensor() != nullptr && x.tensor()->dtype() == DType::i32 ? record(ClearIndices{}, {x, lengths})
                                                                    : record(ClearPadding{}, {x, lengths});
}

Tensor lengths_within(Tensor lengths, Index steps, Index from, Index count) {
  if (is_real(lengths.dtype()))
    throw lengths.tape().error("lengths_within",
                               fmt::format("lengths must be indices (i32), not {}", name_of(lengths.dtype())));
  return record(LengthsWithin{steps, from, count}, {lengths});
}

}  // namespace rw

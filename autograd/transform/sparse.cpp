#include <algorithm>

#include <fmt/format.h>

#include <rewind/autograd/backward.h>
#include <rewind/autograd/detail/tape_data.h>
#include <rewind/autograd/structural.h>
#include <rewind/autograd/transform/section.h>
#include <rewind/autograd/transform/sparse.h>
#include <rewind/core/error.h>

namespace rw::detail {
namespace {

/// (x [n], indices [...]) to [...]: x at these places.
struct TakeElements {
  static constexpr std::string_view name = "take_elements";
  static constexpr std::uint32_t integer_inputs = 0b10;
  static constexpr bool moves_elements = true;
  Shape infer(std::span<const Shape> in) const { return in[1]; }
  void eval(std::span<const ConstView> x, View y) const {
    visit_real(y.dtype, [&]<class T>() {
      for (Index i = 0; i < y.size(); ++i) y.as<T>()[i] = x[0].as<T>()[x[1].as<std::int32_t>()[i]];
    });
  }
  void vjp(Vjp& g) const;
};

/// (x [...], indices [...]) to [size]: TakeElements transposed.
struct AddElements {
  static constexpr std::string_view name = "add_elements";
  static constexpr std::uint32_t integer_inputs = 0b10;
  Index size = 0;
  Shape infer(std::span<const Shape>) const { return Shape{size}; }
  void eval(std::span<const ConstView> x, View y) const {
    visit_real(y.dtype, [&]<class T>() {
      std::fill_n(y.as<T>(), size, T(0));
      for (Index i = 0; i < x[0].size(); ++i) y.as<T>()[x[1].as<std::int32_t>()[i]] += x[0].as<T>()[i];
    });
  }
  void vjp(Vjp& g) const { g.add(0, rw::record(TakeElements{}, {g.dy(), g.x(1)})); }
};

void TakeElements::vjp(Vjp& g) const { g.add(0, rw::record(AddElements{g.x(0).size()}, {g.dy(), g.x(1)})); }

// For each colour, ones at the numbers of `of` that have it: each part [colours, ...].
std::vector<Tensor> directions(Tape& tape, std::span<const Tensor> of, const Colouring& c) {
  std::vector<Tensor> out;
  std::size_t at = 0;
  for (const Tensor& t : of) {
    Array part(Shape{c.colours, t.size()}, DType::f64);
    for (Index i = 0; i < t.size(); ++i)
      part.span<double>()[static_cast<std::size_t>(static_cast<Index>(c.colour[at++]) * t.size() + i)] = 1;
    out.push_back(tape.constant(part.reshaped(t.shape().inserted(0, c.colours))));
  }
  return out;
}

// What each colour's direction gives, [colours, all numbers] flat.
Tensor compressed(Differentiation& work, std::span<const Tensor> y, std::span<const Tensor> x, const Colouring& c,
                  bool by_rows) {
  Tape& tape = *work.tape().owner;
  const std::vector<Tensor> parts = map_examples(
      tape, c.colours, directions(tape, by_rows ? y : x, c),
      [&](std::span<const Tensor> unit) { return by_rows ? work.pullback(y, unit, x) : work.pushforward(y, x, unit); });
  std::vector<Operand> flat;
  flat.reserve(parts.size());
  for (const Tensor& t : parts) flat.emplace_back(record(Reshape{Shape{c.colours, t.size() / c.colours}}, {t}));
  const Tensor all = record(Concat{1}, std::span<const Operand>(flat));
  return record(Reshape{Shape{all.size()}}, {all});
}

/// A colouring, and whether it is of the rows.
std::pair<Colouring, bool> colouring_of(const SparsityPattern& pattern, Direction direction) {
  const auto of_rows = [&] { return colour_columns(pattern.transposed()); };
  if (direction == Direction::rows) return {of_rows(), true};
  Colouring columns = colour_columns(pattern);
  if (direction == Direction::columns) return {std::move(columns), false};
  Colouring rows = of_rows();
  if (rows.colours < columns.colours) return {std::move(rows), true};
  return {std::move(columns), false};
}

Tensor taken(Tape& tape, const Tensor& flat, const std::vector<std::int32_t>& at) {
  return rw::record(TakeElements{}, {flat, tape.constant(Array(at))});
}

}  // namespace

SparsityPattern pattern_of(Differentiation& work, std::span<const Tensor> y, std::span<const Tensor> x) {
  return find_pattern(*work.tape().owner, real_ones(y), real_ones(x));
}

std::vector<Tensor> gradient(Differentiation& work, std::span<const Tensor> y, std::span<const Tensor> x) {
  const Tensor scalar = work.scalar(y), one = work.one(scalar);
  return work.pullback({&scalar, 1}, {&one, 1}, x);
}

SparseJacobian sparse_jacobian(Differentiation& work, std::span<const Tensor> of, std::span<const Tensor> by,
                               SparsityPattern pattern, Direction direction) {
  Tape& tape = *work.tape().owner;
  const std::vector<Tensor> y = real_ones(of), x = real_ones(by);
  Index m = 0, n = 0;
  for (const Tensor& t : y) m += t.size();
  for (const Tensor& t : x) n += t.size();
  pattern.check();
  if (pattern.rows != m || pattern.columns != n)
    throw work.error(fmt::format("the pattern is {} x {}, the Jacobian {} x {}", pattern.rows, pattern.columns, m, n));
  SparseJacobian out;
  if (pattern.entries() == 0) {
    out.values = tape.constant(0, Shape{0});
    out.pattern = std::move(pattern);
    return out;
  }
  const auto [c, by_rows] = colouring_of(pattern, direction);
  const Tensor flat = compressed(work, y, x, c, by_rows);
  std::vector<std::int32_t> at;
  for (std::size_t i = 0; i < pattern.of_row.size(); ++i)
    for (std::uint32_t j : pattern.of_row[i])
      at.push_back(static_cast<std::int32_t>(by_rows ? static_cast<Index>(c.colour[i]) * n + j
                                                     : static_cast<Index>(c.colour[j]) * m + static_cast<Index>(i)));
  out.values = taken(tape, flat, at);
  out.pattern = std::move(pattern);
  out.colours = c.colours;
  out.direction = by_rows ? Direction::rows : Direction::columns;
  return out;
}

Tensor diagonal(Differentiation& work, std::span<const Tensor> of, std::span<const Tensor> by) {
  Tape& tape = *work.tape().owner;
  const std::vector<Tensor> y = real_ones(of), x = real_ones(by);
  const SparsityPattern pattern = find_pattern(tape, y, x);
  if (pattern.rows != pattern.columns)
    throw work.error(fmt::format("the Jacobian is {} x {}: it has no diagonal", pattern.rows, pattern.columns));
  if (pattern.rows == 0) return tape.constant(0, Shape{0});
  const Colouring c = colour_for_diagonal(pattern);
  const Tensor flat = compressed(work, y, x, c, false);
  std::vector<std::int32_t> at;
  for (Index i = 0; i < pattern.rows; ++i)
    at.push_back(
        static_cast<std::int32_t>(static_cast<Index>(c.colour[static_cast<std::size_t>(i)]) * pattern.rows + i));
  return taken(tape, flat, at);
}

}  // namespace rw::detail

#pragma once

#include <bit>
#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>

#include <rewind/autograd/op.h>
#include <rewind/core/arena.h>
#include <rewind/core/array.h>

namespace rw {

class Parameter;
class Operand;
class Tape;
class Tensor;

namespace detail {
class TapeData;
class Operands;
Tensor record(const OpInfo& info, const void* op, const Operands& inputs);
}  // namespace detail

/// A handle to one recorded value: which tape, which node, and the stamp of its recording. 16 bytes, copied freely,
/// owns nothing. Using it after its tape was cleared, rewound past it or destroyed throws Error; it is never undefined.
class Tensor {
 public:
  /// A handle to nothing; using it throws Error.
  Tensor() = default;

  /// By value: a reference would dangle when recording moves the tape's nodes.
  Shape shape() const;
  /// Its element type.
  DType dtype() const;
  /// Length of an axis (negative: from the end).
  Index size(int axis) const;
  /// Number of elements.
  Index size() const { return shape().size(); }
  /// Whether a gradient can flow through it.
  bool needs_grad() const;

  /// The numbers, owned by the tape: valid until `clear`, `rewind` or destruction. Throws Error while `compile` traces
  /// (there are no values then) and for a released value.
  ConstView value() const;
  /// A copy of the numbers.
  Array array() const { return Array(value()); }
  /// The only element. Throws Error when there is not exactly one.
  double item() const;

  /// The tape. Throws Error when it is gone.
  Tape& tape() const;
  /// Whether the handle is usable.
  bool valid() const;
  /// Position on the tape, for tools.
  std::uint32_t index() const { return index_; }

  /// The same node (not equal values: see `equal` in ops/compare.h).
  bool same(const Tensor& other) const {
    return slot_ == other.slot_ && index_ == other.index_ && stamp_ == other.stamp_;
  }

 private:
  friend class Operand;
  friend class detail::TapeData;
  friend Tensor detail::record(const OpInfo& info, const void* op, const detail::Operands& inputs);
  Tensor(std::uint32_t slot, std::uint32_t index, std::uint64_t stamp) : slot_(slot), index_(index), stamp_(stamp) {}

  std::uint32_t slot_ = 0;  // 0: an empty handle
  std::uint32_t index_ = 0;
  std::uint64_t stamp_ = 0;
};

/// Readable: the value as NumPy would print it.
std::ostream& operator<<(std::ostream& out, const Tensor& t);

/// What ops take: a Tensor, a Parameter (which becomes a leaf of the tape), or a number. 16 bytes, so that it travels
/// in registers.
class Operand {
 public:
  /// A recorded value.
  Operand(Tensor t) : bits_(t) {}
  /// A parameter: its leaf on the tape of the other operands.
  Operand(Parameter& p) : bits_(parameter_slot, 0, reinterpret_cast<std::uintptr_t>(&p)) {}
  /// A number: a constant on the tape of the other operands.
  template <class N>
  requires std::is_arithmetic_v<N> Operand(N value)
      : bits_(number_slot, 0, std::bit_cast<std::uint64_t>(static_cast<double>(value))) {}

  /// The Tensor, or null when it is a Parameter or a number.
  const Tensor* tensor() const { return bits_.slot_ < number_slot ? &bits_ : nullptr; }

 private:
  friend class detail::TapeData;
  friend Tensor detail::record(const OpInfo& info, const void* op, const detail::Operands& inputs);
  // Slots that no tape has say what the stamp holds in place of a stamp.
  static constexpr std::uint32_t number_slot = 0xfffffffe, parameter_slot = 0xffffffff;
  bool is_parameter() const { return bits_.slot_ == parameter_slot; }
  Parameter& parameter() const { return *reinterpret_cast<Parameter*>(static_cast<std::uintptr_t>(bits_.stamp_)); }
  double number() const { return std::bit_cast<double>(bits_.stamp_); }

  Tensor bits_;
};

namespace detail {

/// Operands that lie one after another, or wherever pointers say: copying a handle that was just written stalls the
/// processor for longer than the rest of a small op's bookkeeping takes.
class Operands {
 public:
  explicit Operands(std::span<const Operand> all) : first_(all.data()), size_(all.size()) {}
  explicit Operands(std::span<const Operand* const> each) : each_(each.data()), size_(each.size()) {}
  std::size_t size() const { return size_; }
  const Operand& operator[](std::size_t i) const { return each_ == nullptr ? first_[i] : *each_[i]; }

 private:
  const Operand* first_ = nullptr;
  const Operand* const* each_ = nullptr;
  std::size_t size_;
};

}  // namespace detail

/// Records an op: infers the shape, computes the value, appends a node. Throws Error, naming op, shapes and scope, for
/// shapes or types that do not fit, for stale handles, and for inputs of different tapes; the tape is then as it was.
/// At least one input must be a Tensor (or say which tape: see Tape::record).
template <class Op>
Tensor record(const Op& op, std::initializer_list<Operand> inputs) {
  return detail::record(op_info<Op>(), &op, detail::Operands({inputs.begin(), inputs.size()}));
}
template <class Op>
Tensor record(const Op& op, std::span<const Operand> inputs) {
  return detail::record(op_info<Op>(), &op, detail::Operands(inputs));
}
/// The same without a list, the quickest form: `record(op, a, b)`.
template <class Op, std::same_as<Operand>... Inputs>
Tensor record(const Op& op, const Operand& first, const Inputs&... inputs) {
  const Operand* const each[] = {&first, &inputs...};
  return detail::record(op_info<Op>(), &op, detail::Operands(std::span<const Operand* const>(each)));
}

}  // namespace rw

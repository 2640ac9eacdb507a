#pragma once

#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include <rewind/autograd/attribute_text.h>
#include <rewind/autograd/attributes.h>
#include <rewind/core/vector_loop.h>
#include <rewind/core/view.h>

namespace rw {

class Tensor;
class Vjp;
class Vmap;

/// The most inputs an elementwise op may have.
inline constexpr int max_elementwise_inputs = 3;

/// OpInfo::arity of an op that takes any number of inputs.
inline constexpr int any_arity = -1;

/// What a compiler may know of an elementwise op of two inputs, or, of neg, of one.
enum class Arithmetic : std::uint8_t { none, add, sub, mul, times0, neg, div };

/// What an elementwise op declares: vector loops of its value, and of its gradient rule for each input. A gradient loop
/// reads x[0..arity-1], y and dy, in this order, and writes dx; an accumulating one reads dx as its last input as well.
/// An input without a rule (a mask) has empty loops.
struct ElementwiseFact {
  int arity = 0;
  VectorLoop value;
  VectorLoop gradient[max_elementwise_inputs];
  VectorLoop accumulate[max_elementwise_inputs];
  /// Bit i: the gradient of input i is dy itself, as for both inputs of a sum.
  std::uint32_t passes_gradient = 0;
  /// Not none: the value is that of the operator.
  Arithmetic arithmetic = Arithmetic::none;
};

/// What a matrix product declares: the value is op(a) op(b) of the last two axes of its two inputs, where op transposes
/// when `ta` / `tb`; b is one matrix for all leading axes of a, or has the same leading axes.
struct ProductFact {
  bool ta = false, tb = false;
};

/// An op as the tape sees it: one static record per op type, made from the op's struct by `op_info`. Attributes (the
/// struct itself) are trivially copyable bytes. Passes and tools ask for facts here and never for an op by its name.
struct OpInfo {
  std::string_view name;
  std::size_t attribute_size = 0;
  /// Number of inputs, where the op says it (`static constexpr int arity`); elementwise ops always do.
  int arity = any_arity;

  /// Shape of the output; throws Error with the reason (the tape adds op and scope).
  Shape (*infer)(const void* op, std::span<const Shape> inputs) = nullptr;
  /// Computes the value. Null for leaves.
  void (*eval)(const void* op, std::span<const ConstView> x, View y) = nullptr;
  /// Adds to the gradients of the inputs, by recording ops. Null: the op has no gradient (masks, constants).
  void (*vjp)(const void* op, Vjp& g) = nullptr;

  bool (*equal)(const void* a, const void* b) = nullptr;
  std::uint64_t (*hash)(const void* op) = nullptr;
  /// Attributes as text, as "axis=1"; null when there are none worth saying.
  std::string (*describe)(const void* op) = nullptr;
  /// Appends the attributes as text that `read` takes back, as "axis=0, start=2, length=1". `read` sets them all; it
  /// takes text up to a closing parenthesis, and throws Error when that is something else. Both null when a field is
  /// neither a number nor an enum, Shape, std::array or struct of such.
  void (*write)(const void* op, std::string& out) = nullptr;
  void (*read)(TextReader& in, void* op) = nullptr;

  // Facts.
  /// Not null: elementwise with broadcasting.
  const ElementwiseFact* elementwise = nullptr;
  /// The value is a view of input 0's value, when that is possible for its layout: sets `y` and returns true.
  bool (*alias)(const void* op, ConstView x, ConstView& y) = nullptr;
  /// n of these with the same other inputs equal one with the inputs 0 stacked along the rows.
  bool (*rows_are_independent)(const void* op) = nullptr;
  /// add_n of n of these equals one with the inputs stacked along the rows.
  bool (*sums_over_rows)(const void* op) = nullptr;
  /// `eval` can add to y in place of setting it.
  void (*eval_add)(const void* op, std::span<const ConstView> x, View y) = nullptr;
  /// `eval` and `eval_add` take inputs whose rows are not contiguous with each other.
  bool strided_inputs = false;
  /// Bit i: input i holds indices (i32). Other inputs must be real.
  std::uint32_t integer_inputs = 0;
  /// Not null: a matrix product, and which of its inputs are transposed.
  ProductFact (*product)(const void* op) = nullptr;
  /// Inputs and output may have any element type, and it is the same (views).
  bool any_dtype = false;
  /// The value is input 0's value, whole: a node that only says something.
  bool same_value = false;
  /// More leading axes, the same ones in all inputs and in the value, are as many of it at once: rows go their own way.
  bool leading_axes = false;
  /// Each number of the value is one of input 0's, or 0, and which one depends on the other inputs and the attributes.
  bool moves_elements = false;
  /// Not null: what `vjp` would be if it were linear in dy, that is the transpose of the derivative along a direction.
  /// For an op whose gradient is not its derivative's transpose, such as a gradient that is clipped: jvp needs it.
  void (*transposed_jvp)(const void* op, Vjp& g) = nullptr;
  /// Not null: many of it at once, for vmap.
  void (*vmap)(const void* op, Vmap& v, Tensor& y) = nullptr;
};

namespace detail {

// A member that is there under the right name but cannot be called as the engine would call it must not pass for one
// that is not there: a misspelt rule would be a gradient of zero.
template <class Op>
constexpr void check_signatures() {
  using Shapes = std::span<const Shape>;
  using Views = std::span<const ConstView>;
  static_assert(
      requires(const Op& o, Shapes in) { Shape(o.infer(in)); },
      "an op needs `Shape infer(std::span<const Shape> in) const`");
  static_assert(
      !requires { &Op::eval; } || requires(const Op& o, Views x, View y) { o.eval(x, y); },
      "eval must be `void eval(std::span<const ConstView> x, View y) const`");
  static_assert(
      !requires { &Op::eval_add; } || requires(const Op& o, Views x, View y) { o.eval_add(x, y); },
      "eval_add must be `void eval_add(std::span<const ConstView> x, View y) const`");
  static_assert(
      !requires { &Op::vjp; } || requires(const Op& o, Vjp& g) { o.vjp(g); }, "vjp must be `void vjp(Vjp& g) const`");
  static_assert(
      !requires { &Op::transposed_jvp; } || requires(const Op& o, Vjp& g) { o.transposed_jvp(g); },
      "transposed_jvp must be `void transposed_jvp(Vjp& g) const`");
  static_assert(
      !requires { &Op::vmap; } || requires(const Op& o, Vmap& v) { o.vmap(v); },
      "vmap must be `Tensor vmap(Vmap& v) const`");
  static_assert(
      !requires { &Op::alias; } || requires(const Op& o, ConstView& y) { bool(o.alias(ConstView{}, y)); },
      "alias must be `bool alias(ConstView x, ConstView& y) const`");
  static_assert(
      !requires { &Op::describe; } || requires(const Op& o) { std::string(o.describe()); },
      "describe must be `std::string describe() const`");
}

template <class Op>
constexpr int arity_of() {
  if constexpr (requires { Op::elementwise_fact(); })
    return any_arity;  // its fact says it
  else if constexpr (requires { std::integral_constant<int, Op::arity>(); })
    return Op::arity;
  else
    return any_arity;
}

template <class Op>
void add_text(OpInfo& info) {
  if constexpr (std::is_default_constructible_v<Op> && has_text<Op>()) {
    info.write = [](const void* op, std::string& out) { write_attributes(*static_cast<const Op*>(op), out); };
    info.read = [](TextReader& in, void* op) {
      Op read{};
      read_attributes(in, read);
      if constexpr (!std::is_empty_v<Op>) std::memcpy(op, &read, sizeof read);
    };
  }
}

template <class Op>
OpInfo make_op_info() {
  static_assert(std::is_trivially_copyable_v<Op>, "an op's attributes must be trivially copyable");
  check_signatures<Op>();
  OpInfo info;
  info.name = Op::name;
  info.attribute_size = std::is_empty_v<Op> ? 0 : sizeof(Op);
  info.arity = arity_of<Op>();
  add_text<Op>(info);
  info.infer = [](const void* op, std::span<const Shape> in) { return static_cast<const Op*>(op)->infer(in); };
  if constexpr (requires(const Op& o, std::span<const ConstView> x, View y) { o.eval(x, y); })
    info.eval = [](const void* op, std::span<const ConstView> x, View y) { static_cast<const Op*>(op)->eval(x, y); };
  if constexpr (requires(const Op& o, Vjp& g) { o.vjp(g); })
    info.vjp = [](const void* op, Vjp& g) { static_cast<const Op*>(op)->vjp(g); };
  info.equal = [](const void* a, const void* b) {
    return equal_attributes(*static_cast<const Op*>(a), *static_cast<const Op*>(b));
  };
  info.hash = [](const void* op) { return hash_attributes(*static_cast<const Op*>(op)); };
  if constexpr (requires(const Op& o) { o.describe(); })
    info.describe = [](const void* op) -> std::string { return static_cast<const Op*>(op)->describe(); };
  if constexpr (requires { Op::elementwise_fact(); }) {
    info.elementwise = &Op::elementwise_fact();
    info.arity = info.elementwise->arity;
  }
  if constexpr (requires(const Op& o, ConstView& y) { o.alias(ConstView{}, y); })
    info.alias = [](const void* op, ConstView x, ConstView& y) { return static_cast<const Op*>(op)->alias(x, y); };
  if constexpr (requires(const Op& o) { o.rows_are_independent(); })
    info.rows_are_independent = [](const void* op) -> bool {
      return static_cast<const Op*>(op)->rows_are_independent();
    };
  if constexpr (requires(const Op& o) { o.sums_over_rows(); })
    info.sums_over_rows = [](const void* op) -> bool { return static_cast<const Op*>(op)->sums_over_rows(); };
  if constexpr (requires(const Op& o, std::span<const ConstView> x, View y) { o.eval_add(x, y); })
    info.eval_add = [](const void* op, std::span<const ConstView> x, View y) {
      static_cast<const Op*>(op)->eval_add(x, y);
    };
  if constexpr (requires(const Op& o) { o.product(); })
    info.product = [](const void* op) -> ProductFact { return static_cast<const Op*>(op)->product(); };
  if constexpr (requires { Op::strided_inputs; }) info.strided_inputs = Op::strided_inputs;
  if constexpr (requires { Op::integer_inputs; }) info.integer_inputs = Op::integer_inputs;
  if constexpr (requires { Op::any_dtype; }) info.any_dtype = Op::any_dtype;
  if constexpr (requires { Op::same_value; }) info.same_value = Op::same_value;
  if constexpr (requires { Op::leading_axes; }) info.leading_axes = Op::leading_axes;
  if constexpr (requires { Op::moves_elements; }) info.moves_elements = Op::moves_elements;
  if constexpr (requires(const Op& o, Vjp& g) { o.transposed_jvp(g); })
    info.transposed_jvp = [](const void* op, Vjp& g) { static_cast<const Op*>(op)->transposed_jvp(g); };
  if constexpr (requires(const Op& o, Vmap& v) { o.vmap(v); })
    info.vmap = [](const void* op, Vmap& v, Tensor& y) { y = static_cast<const Op*>(op)->vmap(v); };
  return info;
}

/// Makes an op known to `ops_named` for its lifetime, which is the program's (or that of a library that is unloaded).
class RegisteredOp {
 public:
  explicit RegisteredOp(const OpInfo& (*info)());
  ~RegisteredOp();
  RegisteredOp(const RegisteredOp&) = delete;
  RegisteredOp& operator=(const RegisteredOp&) = delete;

 private:
  const OpInfo& (*info_)();
};
template <class Op>
struct Registered;

}  // namespace detail

/// The ops of this name that the program uses anywhere, also those of its own: what a text may name.
std::vector<const OpInfo*> ops_named(std::string_view name);

/// The one record of an op type. An op is a plain struct; what it must and may have:
///
///     struct MyOp {
///       static constexpr std::string_view name = "my_op";
///       Index axis;                                                     // attributes, trivially copyable
///       Shape infer(std::span<const Shape> in) const;                   // or throws Error with the reason
///       void eval(std::span<const ConstView> x, View y) const;          // contiguous, unless `strided_inputs` is true
///       void vjp(Vjp& g) const;                                         // optional: without it the gradient is zero
///       static constexpr int arity = 1;                                 // optional: else any number of inputs
///     };
///
/// and any of the facts of OpInfo, under the same names.
template <class Op>
const OpInfo& op_info() {
  static const OpInfo info = detail::make_op_info<Op>();
  static_cast<void>(&detail::Registered<Op>::entry);
  return info;
}

template <class Op>
struct detail::Registered {
  static inline const RegisteredOp entry{&op_info<Op>};
};

}  // namespace rw

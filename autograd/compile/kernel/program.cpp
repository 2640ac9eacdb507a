#include <algorithm>
#include <cstring>
#include <unordered_map>

#include <rewind/autograd/compile/kernel/combine.h>
#include <rewind/autograd/compile/kernel/kernel.h>
#include <rewind/autograd/compile/kernel/kernel_order.h>
#include <rewind/core/error.h>

namespace rw::ir {
namespace {

struct Plus {
  template <class T>
  T operator()(T a, T b) const {
    return a + b;
  }
};

struct Same {
  template <class T>
  T operator()(T a) const {
    return a;
  }
};

constexpr char no_attributes = 0;

/// Writes a program: operands first, then numbers, then temporaries that are used again once they are dead.
class Writer : KernelOrder {
 public:
  Writer(const Graph& g, const std::vector<Place>& places, NodeId begin, NodeId end,
         const std::vector<bool>& used_outside, std::vector<NodeId>& operands)
      : KernelOrder(g, places, begin, end, used_outside), operands_(operands), last_use_(end - begin, 0) {}

  KernelProgram run() {
    p_.dtype = g_.nodes[begin_].dtype;
    find_space();
    registers_.assign(end_ - begin_, none);
    collect();
    for (std::size_t k = 0; k < order_.size(); ++k) {
      if (k == 0 || phase(order_[k]) != phase(order_[k - 1])) broadcast_ahead(k);
      write(order_[k]);
    }
    for (const auto& [value, output] : late_) write_late(value, output);
    p_.registers = static_cast<std::uint16_t>(base() + temporaries_);
    shift_temporaries();
    return std::move(p_);
  }

 private:
  static constexpr std::uint32_t none = 0xffffffffu, temporary = 0x8000u;
  std::size_t base() const { return p_.operands.size() + p_.constants.size(); }

  // The rows and columns of the widest value; with sums of rows there are values of one column, too.
  void find_space() {
    p_.rows = g_.nodes[begin_].shape.rows();
    for (NodeId i = begin_; i < end_; ++i) {
      p_.cols = std::max(p_.cols, g_.nodes[i].shape.cols());
      if (sums_each_row(g_, i)) p_.cols = std::max(p_.cols, g_.nodes[g_.in(i, 0)].shape.cols());
    }
    for (NodeId i = begin_; i < end_; ++i) p_.by_rows = p_.by_rows || g_.nodes[i].shape.cols() != p_.cols;
  }
  // One number a row, in a kernel of wider rows.
  bool is_column(NodeId i) const { return p_.by_rows && g_.nodes[i].shape.cols() == 1; }
  Over over(NodeId i) const {
    if (sums_each_row(g_, i)) return Over::sum;
    return is_column(i) ? Over::rows : Over::elements;
  }
  bool kind_of(NodeId in, NodeId reader, OperandKind& kind, RowsOf& rows) const {
    const Shape& shape = g_.nodes[in].shape;
    // Numbers of rows and whole rows may both read it, so that its kind is not the reader's. One row's is a scalar.
    if (p_.by_rows && shape.size() == p_.rows && shape.rows() == p_.rows) {
      kind = p_.rows > 1 ? OperandKind::column : OperandKind::scalar;
      return true;
    }
    return sums_each_row(g_, reader) ? (kind = OperandKind::full, true)
                                     : operand_kind(shape, g_.nodes[reader].shape, kind, rows);
  }

  // Operands get the first registers, so they are collected first.
  void collect() {
    for_each_read([&](NodeId reader, NodeId in) {
      if (inside(in)) {
        std::uint32_t& last = last_use_[in - begin_];
        last = std::max(last, position_[reader - begin_]);
      } else if (!known_.contains(in) && !g_.is<Fill>(in)) {
        OperandKind kind{};
        RowsOf rows;
        if (!kind_of(in, reader, kind, rows))
          throw Error("compile: " + g_.describe(in) + " cannot be an operand of a kernel");
        known_.emplace(in, p_.operands.size());
        operand(in, kind, rows);
      }
    });
    for (NodeId i = begin_; i < end_; ++i)
      if (used_outside_[i] && !is_view(g_, i)) {
        const auto output = static_cast<std::uint32_t>(p_.operands.size());
        operand(i, is_column(i) ? OperandKind::output_column : OperandKind::output);
        if (std::find(copied_.begin(), copied_.end(), i) == copied_.end()) {
          registers_[i - begin_] = output;
          continue;
        }
        late_.emplace_back(i, output);
        last_use_[i - begin_] = none;
      }
    for (NodeId i = begin_; i < end_; ++i)
      for (NodeId in : g_.in(i))
        if (!inside(in) && g_.is<Fill>(in)) constant(g_.op<Fill>(in).value);
  }

  void operand(NodeId value, OperandKind kind, const RowsOf& rows = {}) {
    p_.operands.push_back(kind);
    p_.rows_of.push_back(kind == OperandKind::rows ? rows : RowsOf());
    operands_.push_back(value);
  }

  std::uint32_t constant(double value) {
    for (std::size_t c = 0; c < p_.constants.size(); ++c)
      if (std::memcmp(&p_.constants[c], &value, sizeof value) == 0)
        return static_cast<std::uint32_t>(p_.operands.size() + c);
    p_.constants.push_back(value);
    return static_cast<std::uint32_t>(base() - 1);
  }

  // Where an instruction of node `reader` finds a value: a number a row is broadcast for whole rows.
  std::uint16_t register_for(NodeId reader, NodeId raw) {
    const NodeId in = through_views(raw);
    if (!inside(in) || !is_column(in) || over(reader) != Over::elements) return register_of(raw);
    const auto [known, is_new] = broadcast_.emplace(in, temporary);
    if (is_new) {
      known->second = static_cast<std::uint16_t>(temporary | temporaries_++);
      KernelProgram::Instruction instruction = instruction_of(in, same_loop());
      instruction.over = Over::broadcast;
      instruction.arity = 1;
      std::fill_n(instruction.in, KernelProgram::most_inputs, register_of(in));
      instruction.out = known->second;
      p_.instructions.push_back(instruction);
    }
    return known->second;
  }

  // Done before the first instruction of a phase, so that those on whole rows follow each other.
  void broadcast_ahead(std::size_t k) {
    for (const Phase now = phase(order_[k]); k < order_.size() && phase(order_[k]) == now; ++k)
      for (NodeId in : g_.in(order_[k])) {
        const NodeId x = through_views(in);
        if (inside(x) && part_of_[x - begin_] == order_[k])
          for (NodeId part : g_.in(x)) register_for(order_[k], part);
        else
          register_for(order_[k], in);
      }
  }

  std::uint16_t register_of(NodeId raw) {
    const NodeId in = through_views(raw);
    if (inside(in)) return static_cast<std::uint16_t>(registers_[in - begin_]);
    if (g_.is<Fill>(in)) return static_cast<std::uint16_t>(constant(g_.op<Fill>(in).value));
    return static_cast<std::uint16_t>(known_.at(in));
  }

  void release(NodeId raw, NodeId user) {
    const NodeId in = through_views(raw);
    if (!inside(in) || last_use_[in - begin_] != position_[user - begin_]) return;
    std::uint32_t& r = registers_[in - begin_];
    if ((r & temporary) == 0 || r == none) return;
    free_.push_back(r);
    last_use_[in - begin_] = none;  // once, though it may be an input twice
  }

  std::uint32_t take() {
    if (free_.empty()) return temporary | temporaries_++;
    const std::uint32_t r = free_.back();
    free_.pop_back();
    return r;
  }

  void write(NodeId i) {
    const Node& n = g_.nodes[i];
    if (combines(arithmetic(i)) && write_combined(i)) return;
    if (g_.is<SumTo>(i) || g_.is<BroadcastTo>(i)) return emit(instruction_of(i, same_loop()), i, g_.in(i));
    if (n.info->elementwise == nullptr) return write_sum(i);
    KernelProgram::Instruction instruction = instruction_of(i, n.info->elementwise->value);
    instruction.fn = n.op;
    instruction.equal = n.info->equal;
    if (arithmetic(i) != Arithmetic::div) instruction.formula.left = arithmetic(i);
    emit(instruction, i, g_.in(i));
  }

  KernelProgram::Instruction instruction_of(NodeId i, const VectorLoop& loop) const {
    KernelProgram::Instruction instruction;
    instruction.node = i;
    instruction.loop = &loop;
    instruction.over = over(i);
    instruction.fn = &no_attributes;
    return instruction;
  }

  KernelProgram::Instruction combined(NodeId i, const Formula& formula) const {
    KernelProgram::Instruction instruction = instruction_of(i, combined_loop(formula));
    instruction.formula = formula;
    return instruction;
  }

  // The inputs are read; the result may stand where one of them stood, since a loop may write over what it reads.
  void emit(KernelProgram::Instruction instruction, NodeId i, std::span<const NodeId> in) {
    instruction.arity = static_cast<std::uint16_t>(in.size());
    for (std::size_t k = 0; k < KernelProgram::most_inputs; ++k)
      instruction.in[k] = k < in.size() ? register_for(i, in[k]) : instruction.in[0];
    for (NodeId x : in) release(x, i);
    std::uint32_t& to = registers_[i - begin_];
    if (to == none) to = take();
    instruction.out = static_cast<std::uint16_t>(to);
    p_.instructions.push_back(instruction);
  }

  // An op together with those of its inputs that are parts of it.
  bool write_combined(NodeId i) {
    const NodeId a = through_views(g_.in(i, 0)), b = through_views(g_.in(i, 1));
    const auto is_part = [&](NodeId x) { return inside(x) && part_of_[x - begin_] == i; };
    std::vector<NodeId> in;
    const auto inputs_of = [&](NodeId x) { in.insert(in.end(), g_.in(x).begin(), g_.in(x).end()); };
    if (is_part(a) && is_part(b)) {
      inputs_of(a);
      inputs_of(b);
      emit(combined(i, {.left = arithmetic(a), .right = arithmetic(b), .outer = arithmetic(i)}), i, in);
    } else if (is_part(a) || is_part(b)) {
      const NodeId part = is_part(a) ? a : b;
      inputs_of(part);
      in.push_back(is_part(a) ? g_.in(i, 1) : g_.in(i, 0));
      emit(combined(i, {.left = arithmetic(part), .outer = arithmetic(i), .swapped = is_part(b)}), i, in);
    }
    return is_part(a) || is_part(b);
  }

  static const VectorLoop& same_loop() {
    static const VectorLoop same = vector_loop<Same, 1>();
    return same;
  }

  void write_late(NodeId value, std::uint32_t output) {
    KernelProgram::Instruction instruction = instruction_of(value, same_loop());
    if (instruction.over == Over::sum) instruction.over = Over::rows;
    instruction.arity = 1;
    std::fill_n(instruction.in, KernelProgram::most_inputs, static_cast<std::uint16_t>(registers_[value - begin_]));
    instruction.out = static_cast<std::uint16_t>(output);
    p_.instructions.push_back(instruction);
  }

  // From left to right, two terms at a time.
  void write_sum(NodeId i) {
    static const VectorLoop plus = vector_loop<Plus, 2>();
    const auto in = g_.in(i);
    std::uint32_t& to = registers_[i - begin_];
    if (to == none) to = take();
    const auto out = static_cast<std::uint16_t>(to);
    std::uint16_t total = register_for(i, in[0]);
    const auto add = [&](KernelProgram::Instruction instruction, std::uint16_t arity, std::uint16_t b,
                         std::uint16_t c) {
      instruction.arity = arity;
      const std::uint16_t operands[] = {total, b, c, total};
      std::copy_n(operands, KernelProgram::most_inputs, instruction.in);
      instruction.out = total = out;
      p_.instructions.push_back(instruction);
    };
    if (in.size() == 1) add(instruction_of(i, same_loop()), 1, total, total);
    const KernelProgram::Instruction two = combined(i, {.left = Arithmetic::add, .outer = Arithmetic::add});
    std::size_t k = 1;
    for (; k + 1 < in.size(); k += 2) add(two, 3, register_for(i, in[k]), register_for(i, in[k + 1]));
    if (k < in.size()) {
      KernelProgram::Instruction last = instruction_of(i, plus);
      last.formula.left = Arithmetic::add;
      add(last, 2, register_for(i, in[k]), total);
    }
    for (NodeId x : in) release(x, i);
  }

  void shift_temporaries() {
    const auto fix = [&](std::uint16_t& r) {
      if ((r & temporary) != 0) r = static_cast<std::uint16_t>(base() + (r & ~temporary));
    };
    for (KernelProgram::Instruction& i : p_.instructions) {
      for (std::uint16_t& r : i.in) fix(r);
      fix(i.out);
    }
  }

  std::vector<NodeId>& operands_;
  std::vector<std::pair<NodeId, std::uint32_t>> late_;
  std::vector<std::uint32_t> last_use_;
  std::vector<std::uint32_t> registers_;
  std::unordered_map<NodeId, std::size_t> known_;
  std::unordered_map<NodeId, std::uint16_t> broadcast_;  // the registers of numbers that were
  std::vector<std::uint32_t> free_;
  std::uint32_t temporaries_ = 0;
  KernelProgram p_;
};

}  // namespace

KernelProgram make_program(const Graph& g, const std::vector<Place>& places, NodeId begin, NodeId end,
                           const std::vector<bool>& used_outside, std::vector<NodeId>& operands) {
  operands.clear();
  return Writer(g, places, begin, end, used_outside, operands).run();
}

}  // namespace rw::ir

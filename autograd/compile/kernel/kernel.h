#pragma once

#include <vector>

#include <rewind/autograd/compile/kernel/combine.h>
#include <rewind/autograd/program/graph.h>

namespace rw::ir {

struct Place;

/// What an operand of a kernel is to its rows x cols elements.
enum class OperandKind : std::uint8_t {
  full,          // an element for each
  row,           // one row, the same for all
  rows,          // some rows, each the same for several: see RowsOf
  column,        // one number a row
  scalar,        // one number
  output,        // written, an element for each
  output_column  // written, one number a row
};

/// Which row of an operand of fewer rows a row of the kernel reads: row r reads row r / each, modulo `count` unless
/// that is 0. (N, 1, H) within (N, M, H) has {M, 0}, and (M, H) has {1, M}.
struct RowsOf {
  Index each = 1, count = 0;
  Index of(Index r) const { return count == 0 ? r / each : r / each % count; }
  /// How many a kernel of `rows` rows takes.
  Index taken(Index rows) const { return count == 0 ? rows / each : count; }
  bool operator==(const RowsOf&) const = default;
};

/// What an instruction runs over.
enum class Over : std::uint8_t {
  elements,
  rows,      // the one number of a row
  sum,       // adds up a row: its result is one number
  broadcast  // makes a row of its one number
};

/// A short register program: elementwise loops over blocks that stay in the first-level cache. Programs hold no
/// addresses, so that equal time steps share one.
class KernelProgram {
 public:
  /// Inputs of an instruction, which may be a few ops in one.
  static constexpr int most_inputs = 4;
  static constexpr std::size_t most_registers = 512;
  struct Instruction {
    const VectorLoop* loop = nullptr;
    const void* fn = nullptr;
    std::uint16_t in[most_inputs] = {};
    std::uint16_t out = 0;
    std::uint16_t arity = 0;
    Over over = Over::elements;
    Formula formula;  // what the loop computes, where that is arithmetic: its `left` is not none
    bool (*equal)(const void* a, const void* b) = nullptr;  // of the attributes `fn`
    NodeId node = no_node;                                  // of the graph in which it was made first
  };

  DType dtype = DType::f32;
  Index rows = 1, cols = 1;
  bool by_rows = false;               // it has numbers of rows: each row is computed at once
  std::vector<OperandKind> operands;  // register i is operand i
  std::vector<RowsOf> rows_of;        // by operand
  std::vector<bool> room;             // by operand: its last vector may be written whole, since nothing else is in it
  std::vector<double> constants;      // the registers after the operands
  std::vector<Instruction> instructions;  // later registers are temporary
  std::uint16_t registers = 0;

  /// Computes everything; pointers and row strides (in elements) of the operands, in order. Threads share a program of
  /// `share_from` elements times instructions or more (8 times as many where helpers sleep).
  void run(void* const* pointers, const Index* strides, Index share_from = 1 << 15) const;
  /// Whether it has elements so few that they are computed as whole vectors, which takes `room` or copies.
  bool fills_vectors() const;
  /// To be called once, when the program is complete.
  void finish();
  std::uint64_t hash() const;
  bool same(const KernelProgram& other) const;

 private:
  template <class T>
  struct Runner;
  template <class T>
  struct OneByOne;
  bool goes_one_by_one() const;
  bool is_flat(const Index* strides) const;
  void find_row_instructions();
  void shorten();

  /// By rows: instructions over whole rows that follow each other, computed block by block; or one of another kind.
  struct RowInstructions {
    std::size_t begin = 0, end = 0;
  };
  std::vector<RowInstructions> runs_;
  /// An instruction of a program that goes one by one: a formula, or the function of instruction number `like`.
  struct Short {
    Formula formula;
    std::uint16_t like = 0, out = 0, in[most_inputs] = {};
  };
  std::vector<Short> short_form_;
  std::size_t first_output_ = 0;
  std::vector<Index> moves_;     // by register, a mask of offsets: -1 when it has all blocks, 0 when they share one
  std::vector<std::size_t> at_;  // by register: its own memory, in elements
  std::size_t memory_ = 0;
  Index block_ = 512;                                          // elements
  std::vector<double> constant_blocks_;                        // a block for each constant, of T
  std::vector<std::size_t> scalars_, copied_in_, copied_out_;  // operands: numbers, and those without room
};

/// One use of a program: which values are its operands.
struct KernelCall {
  std::uint32_t program = 0;
  std::vector<NodeId> operands;
};

/// Turns the nodes [begin, end) of one kernel into a program. `used_outside[i]` tells whether node i is read outside. A
/// result may have the place of an operand: it is then written after the last read of that.
KernelProgram make_program(const Graph& g, const std::vector<Place>& places, NodeId begin, NodeId end,
                           const std::vector<bool>& used_outside, std::vector<NodeId>& operands);

/// Columns of rows that kernels sum: fewer are not worth it, and rows of more leave the cache.
inline constexpr Index least_summed = 32, most_summed = 8192;

/// Whether a node sums rows, each to one number that stays in its row.
bool sums_each_row(const Graph& g, NodeId id);
/// Whether a node may be part of a kernel: an elementwise op, an add_n, a broadcast or a sum of each row, of reals,
/// each of whose inputs is of one of the operand kinds.
bool fusible(const Graph& g, NodeId id);
/// The kind of an input of shape `in` to a kernel of shape `out`, and of some rows, which; false when it has none.
bool operand_kind(const Shape& in, const Shape& out, OperandKind& kind, RowsOf& rows);

}  // namespace rw::ir

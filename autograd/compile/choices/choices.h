#pragma once

#include <span>
#include <string>

#include <rewind/autograd/compile/choices/costs.h>
#include <rewind/autograd/compile/options.h>

namespace rw::ir {

/// What a compiled function is made by where the compiler could do one thing or another. Numbers, all of one type, so
/// that one table writes and reads them. What is chosen by the processor alone is in core: how many rows of a product
/// are kept near (core/gemm/row_tiles.h), and how many elements a kernel computes at a time (kernel/kernel.cpp).
struct Choices {
  // Whatever these are, results have the same bits.
  double one_thread = 0;                // 1: a replay runs on the caller's thread alone
  double branch_from = 60;              // microseconds: see CompileOptions::branch_from
  double kernel_share_from = 1 << 15;   // elements times instructions: smaller kernels run on one thread
  double product_share_from = 1 << 20;  // multiplications that each thread of a packed product gets, or more
  double short_from = 1 << 15;          // nodes of a trace from which short sequences are compiled in its place
  double rematerialize = 1;             // what is computed again: 0 nothing, 1 arithmetic, 2 functions, too
  Costs costs;                          // by which lanes are chosen

  // Others give other bits: sums in another order.
  double chunk_from = 60;    // microseconds that cutting a product must save; `never`: none is cut
  double chunk_rows = 200;   // of a chunk, or more
  double pack_from = 4;      // products by one matrix, for which it is packed; `never`: none is
  double packed_rows = 192;  // products of more rows are not made with packed matrices
};

/// More than there can be of anything.
inline constexpr double never = 1e12;

/// The choices by name, without the costs.
std::span<const NumberField<Choices>> choice_fields();

/// Every choice and cost as one line, which `choices_of` makes them from again.
std::string choices_text(Choices choices);

/// What these options choose: those written in CompileOptions::choices, and for the rest what suits this machine.
/// Throws Error for a text that is none of choices.
Choices choices_of(const CompileOptions& options);

}  // namespace rw::ir

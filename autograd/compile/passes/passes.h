#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <rewind/autograd/compile/choices/choices.h>
#include <rewind/autograd/compile/options.h>
#include <rewind/autograd/program/graph.h>

namespace rw::ir {

/// What the passes did, for `explain`.
struct Notes {
  std::vector<std::string> lines;     // of batch
  std::vector<std::string> schedule;  // of schedule
  std::vector<std::string> memory;    // of what keeps a plan within its budget
  /// A pass that ran, and the nodes before and after it.
  struct Ran {
    std::string_view pass;
    NodeId before, after;
  };
  std::vector<Ran> passes;

  /// How much longer the sequence may be for which the passes' choices are to hold, and whether they do: where one that
  /// gives other bits would be another one then, the plan of a short sequence says nothing about a long one's.
  double times_longer = 1;
  bool hold_when_longer = true;
};

/// Leaves out common subexpressions, computes what is constant, and looks through views of views. Keeps bits.
Graph simplify(const Graph& g);

/// A slice of an elementwise op becomes the op of slices, where only slices are read: the gates of a cell then have one
/// shape. Keeps bits.
Graph slice_inputs(const Graph& g);

/// Products of one value by several matrices become one by the matrices side by side, and so do sums of products by
/// such matrices, and the gradients of the matrices. After `batch`. Does not keep bits.
Graph join_matrices(const Graph& g, Notes& notes);

/// Products that share their second operand and do not depend on each other become one over stacked rows; sums of
/// products, or of row sums, become one with a long inner dimension. Does not keep bits: sums are in another order.
Graph batch(const Graph& g, Notes& notes);

/// A stack of rows whose pieces stand side by side with others in the rows of another stack becomes a slice of that:
/// products read it where it stands, and nothing is copied. After `batch`, which makes such stacks.
Graph stacks_to_slices(const Graph& g);

/// Products over the rows of many steps are cut into chunks of steps, where what needs the first rows could begin at
/// least `Choices::chunk_from` earlier: two layers can then run as a pipeline. Decided by the costs built in alone,
/// whatever the machine and the number of threads. Does not keep bits.
Graph chunk(const Graph& g, const Choices& choices, Notes& notes);

/// Products and sums over the rows of many steps are cut into blocks of whole steps, whose size depends on nothing but
/// the rows of a step: so that not all steps have to be there at once. The terms of a sum stand in the order in which
/// they can be computed. Does not keep bits.
Graph blocks(const Graph& g, Notes& notes);

/// Sums of more than `most_terms` become running sums, from left to right, that take up each term as soon as it is
/// there: they can then be part of the kernel that computes the term. Keeps bits.
Graph running_sums(const Graph& g, std::uint32_t most_terms, Notes& notes);

/// What is computed again in the backward half rather than kept: nothing; arithmetic; functions, too, as tanh.
enum class Rematerialize { nothing, arithmetic, functions };

/// Elementwise values of the forward half that kernels of the backward half read are computed again there, each from
/// values that are kept anyway: that takes a few instructions where a store and a load are saved. Keeps bits.
Graph rematerialize(const Graph& g, Rematerialize what);

/// Gathers elementwise ops into kernels: sets Node::kernel. Keeps bits.
Graph fuse(const Graph& g);

/// Operands of f32 products are rounded to bf16, each once. Does not keep bits.
Graph round_products(const Graph& g);
/// Throws Error when a function of this real type cannot have the precision that is asked for.
void check_precision(const CompileOptions& options, DType real, bool has_bf16);

/// Shares the kernels of sections of the graph among `threads` lanes (Node::lane), where that is estimated to be
/// quicker than sharing each kernel among the threads, and puts the nodes in the order of their estimated begin. Keeps
/// bits. List scheduling: the kernel that begins the longest path goes first, to the lane on which it ends first
/// (Topcuoglu, Hariri, Wu: Performance-effective and low-complexity task scheduling, 2002).
Graph schedule(const Graph& g, int threads, const Choices& choices, Notes& notes);

/// A value of its own, equal to the input: for results that would otherwise be the caller's memory, and for pieces
/// that must be neighbours.
struct Copy {
  static constexpr std::string_view name = "copy";
  static constexpr int arity = 1;
  static constexpr bool strided_inputs = true;
  static constexpr bool any_dtype = true;
  Shape infer(std::span<const Shape> in) const { return in[0]; }
  void eval(std::span<const ConstView> x, View y) const { copy(x[0], y); }
};

/// Live nodes in an order in which each stands after its inputs; results that would be an argument's, a parameter's or
/// a constant's memory are copied. Keeps bits.
Graph own_outputs(const Graph& g);

/// A pass in its place: what `compile` does to a graph is the list of these, in order.
struct GraphPass {
  std::string_view name;
  Graph (*run)(const Graph& g, const CompileOptions& options, Notes& notes);
  /// Runs when all of these are switched on, and the options are as `when` (if there is one) wants them.
  Passes switches;
  bool (*when)(const CompileOptions& options);
  /// Whether results have the same bits with and without it.
  bool keeps_bits;
  /// A pass that must have run before it, as often as it did; empty: none.
  std::string_view after;
  /// Whether values change on purpose.
  bool rounds = false;
};
std::span<const GraphPass> graph_passes();

/// All passes that the options ask for, verified one by one.
Graph optimise(Graph g, const CompileOptions& options, Notes& notes);

}  // namespace rw::ir

#pragma once

#include <string>
#include <string_view>

#include <rewind/autograd/program/graph.h>
#include <rewind/autograd/program/program.h>

/// A program as text: one line for each node. For people, for tests of passes (a small program as text in, the expected
/// one as text out), and for two programs to be compared. A node's line is
///
///     name = op(attributes) inputs : type shape @ scope backward kernel=3
///
/// of which only what is not as usual is there: the type where it is not the program's real type, the scope where there
/// is one. A line that begins with # is a comment. A whole program:
///
///     program f32
///     parameter 0 "W" : (5, 8)
///     x = input 0 : (6, 3, 5)
///     W = parameter 0 : (5, 8)
///     x2 = slice(start=2, length=1) x : (1, 3, 5) @ t=2
///     row = reshape(shape=(3, 5)) x2 : (3, 5) @ t=2
///     y = matmul row W : (3, 8) @ t=2
///     half = constant : () = 0.5
///     z = mul y half : (3, 8)
///     return z
///     gradient 0 += ...
namespace rw::ir {

/// How much of a program `dump` writes.
struct DumpOptions {
  /// Of constants with more numbers than these only the first are written; what is left out cannot be parsed again.
  std::size_t most_numbers = 16;
};

/// The program as text: nodes in their order, called n0, n1, ...; then what it returns, and which parameters' gradients
/// it adds to. `parse` gives the same program back: its dump is the same text.
std::string dump(const Graph& g, const DumpOptions& options = {});

/// The same with loops: shared leaves first, then
///
///     loop t 50
///       x = slice(start=0+1*t, length=1) xs : (1, 3, 5) @ t=0+1*t
///       h = add x h[t-1]|t=0:h0 : (1, 3, 5)
///     end
///     sum = add_n h[-1..0]
///
/// for t = 0, 1, ..., 49; loops within it count u and v. A number may be linear in the steps: 3+2*t; ~t counts from the
/// last step on. What another loop has left is read by its step, which counts from its end where it is negative:
/// h[-1], h[-1-1*t], or, many at once, h[0..-1]. `a|t=0:b` is b at the first step, `{a b c}[t]` one after the other.
std::string dump(const Program& p, const DumpOptions& options = {});

/// How much a text may ask for: a few words can mean a great deal of memory. Raise them for a large program.
struct ParseLimits {
  /// Of all constants and parameters.
  Index numbers = Index{1} << 22;
  /// Lines, those of loops counted at each step.
  std::int64_t lines = std::int64_t{1} << 17;
  /// Values that these lines read.
  std::int64_t reads = std::int64_t{1} << 22;
};

/// The program that a text describes. Nodes may have any names, shapes of ops may be left out (they follow from the
/// inputs), and parameters are new ones of zeros. Throws Error with the number of the line and what was expected there:
/// for what is no program, ops that are not in this program, attributes, inputs and shapes that do not fit, and for
/// what is over the limits.
Graph parse(std::string_view text, const ParseLimits& limits = {});

}  // namespace rw::ir

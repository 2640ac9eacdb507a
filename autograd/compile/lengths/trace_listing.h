#pragma once

#include <span>
#include <vector>

#include <rewind/autograd/compile/lengths/dictionary.h>
#include <rewind/autograd/compile/lengths/pattern.h>
#include <rewind/autograd/program/graph.h>
#include <rewind/autograd/tape.h>

namespace rw::ir {

/// What a function recorded on a tape: its inputs are the tape's first nodes.
struct Recorded {
  const Tape& tape;
  std::span<const Tensor> inputs, results;
  /// Grows evenly with the number of steps, and where that stays the same with the extent of a batch.
  std::int64_t length() const;
};

/// All of it: nodes, results, and what is added to gradients. Names are notes.
Listing list(const Recorded& recorded, Dictionary& words);

/// Whether a pattern has this trace as an instance; sets the values of the pattern's own slots. Compares every node.
bool matches(const Pattern& pattern, const Recorded& recorded, Dictionary& words, Slots& own);

/// By line of the pattern: the value of a node that is one number whatever the arguments are, and 0 elsewhere. What
/// `simplify` makes of it is this.
Slots constants_of(const Pattern& pattern, std::int64_t length, std::span<const std::int64_t> own);

/// The trace of any length, as `from_tape` gives it but for names.
Graph unfold(const Pattern& pattern, std::int64_t length, std::span<const std::int64_t> own, const Dictionary& words,
             DType real, const Store& names);

}  // namespace rw::ir

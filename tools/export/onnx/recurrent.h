#pragma once

// Internal to tools/export/.

#include <functional>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include <rewind/tools/export/sized_program.h>

namespace rw::detail {

/// A loop that is one of ONNX' recurrent operators.
struct Recurrent {
  enum class Kind { lstm, gru, rnn } kind = Kind::rnn;
  bool backwards = false;
  bool relu = false;         // of rnn
  bool reset_after = false;  // of gru: the product first, then the reset gate
  SizedSource x = {};        // [T, N, in]
  std::uint32_t h = 0;
  std::optional<std::uint32_t> c = std::nullopt;
  SizedSource start_h = {}, start_c = {};
  // Numbers as the operator has them, gate by gate: [H, in], [H, H], [H] and [H].
  std::vector<double> W = {}, R = {}, b = {}, rb = {};
  Index in = 0, hidden = 0, gates = 0;
  std::int32_t leaf_W = -1, leaf_R = -1, leaf_b = -1;  // whose numbers these are
};

/// Knows such loops by what they compute, whatever the order of gates, sums and slices.
class Recognizer {
 public:
  /// What an op reads, or what stands for it at the first step of its innermost loop.
  using Look = std::function<SizedSource(std::uint32_t op, std::uint32_t input, bool at_first)>;

  /// `program` must outlive this.
  explicit Recognizer(const SizedProgram& program);

  /// The loop that is this item, if it is one of them and nobody asks for anything but its states.
  std::optional<Recurrent> operator()(std::size_t item, const Look& look) const;

 private:
  const SizedProgram& program_;
  std::set<std::uint32_t> outside_;     // ops of a loop that somebody outside of it reads
  std::set<std::uint32_t> everywhere_;  // at other steps than the last
};

}  // namespace rw::detail

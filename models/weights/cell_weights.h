#pragma once

#include <array>
#include <initializer_list>
#include <map>
#include <string>
#include <string_view>

#include <rewind/models/cells/gru.h>
#include <rewind/models/cells/lstm.h>
#include <rewind/models/cells/rnn.h>
#include <rewind/models/layers/embedding.h>
#include <rewind/models/layers/linear.h>
#include <rewind/models/sequence/stack.h>
#include <rewind/models/weights/weight_map.h>

// The library's layers as `torch_weights`, `keras_weights` and `onednn_weights` look at them.

namespace rw::detail {

/// The parameters of a cell, each by what it does.
struct CellWeights {
  std::string kind;                              // "gru"
  Index gates = 1, in = 0, hidden = 0, out = 0;  // out: width of h
  Parameter *W = nullptr, *R = nullptr, *b = nullptr, *br = nullptr;
  /// Of each gate: -1 where the other libraries' gate is 1 - ours, since 1 - sigmoid(a) = sigmoid(-a).
  std::array<double, 4> sign = {1, 1, 1, 1};
  /// The gate whose recurrent bias is multiplied by another gate, so that it cannot be joined with the input's; or -1.
  Index apart = -1;
  bool reset_after = false;
  /// An LSTM's projection and peepholes, by their names here, where it has them.
  std::map<std::string, Parameter*, std::less<>> more = {};
};

// Throw Error for a cell that the other library has no like of: with other gates, or with a parameter that is not among
// `more`.
CellWeights weights_of(const RnnCell& cell, std::initializer_list<std::string_view> more = {});
CellWeights weights_of(const LstmCell& cell, std::initializer_list<std::string_view> more = {});
CellWeights weights_of(const GruCell& cell, std::initializer_list<std::string_view> more = {});

/// How another library lays out the gates of one cell: where each of our gates stands, and whether a matrix is [gate,
/// out, in] rather than [in, gate, out].
struct GateLayout {
  std::array<Index, 4> place = {0, 1, 2, 3};
  bool transposed = false;
};

/// Links our W or R (`matrix`, of `in` rows) to numbers `start`, ... of an array.
void link_matrix(WeightMap& map, std::size_t array, Index start, const CellWeights& cell, Parameter& matrix, Index in,
                 const GateLayout& layout);

/// Links all of a matrix [rows, columns] to the same of an array, transposed or not.
void link_all(WeightMap& map, std::size_t array, Index start, Parameter& matrix, Index rows, Index columns,
              bool transposed);

/// Numbers `start`, ... of an array: one gate's bias.
struct BiasPlace {
  std::size_t array;
  Index start;
};
/// Links the biases of one of our gates. `recurrent` is null where the other library has one bias: a cell with two then
/// gets 0 for its second, and gives away their sum; where the other library has two and the cell one, it is the other
/// way round.
void link_bias(WeightMap& map, const CellWeights& cell, Index gate, BiasPlace input, const BiasPlace* recurrent);

/// Throws Error for a stack with skips or residuals, which other libraries' stacks do not have: its layers can be asked
/// for one by one.
void require_plain(const StackOptions& options, const char* function);

/// A Linear by the names of its weights, [out, in] if `transposed`, and of its bias.
WeightMap dense_layer(const Linear& linear, const char* weights, const char* bias, bool transposed);
/// An Embedding, which all libraries have the same way round.
WeightMap table(const Embedding& embedding, const char* weights);

}  // namespace rw::detail

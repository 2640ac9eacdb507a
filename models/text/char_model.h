#pragma once

#include <optional>
#include <string>

#include <rewind/autograd/tape.h>
#include <rewind/models/cells/any_cell.h>
#include <rewind/models/init.h>
#include <rewind/models/layers/linear.h>
#include <rewind/models/module.h>
#include <rewind/models/sequence/stack.h>
#include <rewind/models/text/text.h>
#include <rewind/models/weights/serialize.h>

namespace rw {

struct CharModelOptions {
  /// A name that `make_cell` knows, with its options: "lstm", "gru+zoneout=0.1".
  std::string cell = "lstm";
  Index layers = 2, hidden = 256;
  /// Length of the vector that a character is looked up as; 0: characters enter one-hot.
  Index embedding = 0;
  /// Part of each layer's outputs that is dropped in training mode.
  double dropout = 0;
  /// Start of every weight and bias but an LSTM's forget bias, which is 1. Without it: the layers' own.
  std::optional<Init> init = std::nullopt;
};

/// A model of text, one character after the other: [embedding ->] layers of cells -> linear -> logits of the next.
class CharModel : public Module {
 public:
  using State = Stack<AnyCell>::State;

  /// Throws Error for a cell of another name, sizes below 1, an embedding below 0, dropout outside [0, 1), and an empty
  /// vocabulary.
  CharModel(Vocabulary vocabulary, const CharModelOptions& options, Rng& rng);

  State zero_state(Tape& tape, Index batch) const { return cells_.zero_state(tape, batch); }
  /// The state after one character of each stream, i32 [N]: with this the model is a Cell, so that TruncatedBptt can
  /// carry its state.
  State step(Tensor inputs, const State& state) const;
  /// Numbers of characters, i32 [T, N] -> logits of the characters that follow, [T, N, V]. `state` becomes the state
  /// after the last step. Throws Error for numbers outside the vocabulary, and for shapes that do not fit.
  Tensor logits(Tensor inputs, State& state) const;

  /// The characters that it knows.
  const Vocabulary& vocabulary() const { return vocabulary_; }
  /// What it was made with.
  const CharModelOptions& options() const { return options_; }

  /// What a file says of a model, next to its weights: format, version, architecture and vocabulary.
  Metadata metadata() const;
  /// A model of that architecture, with weights of zero. Throws Error, which begins with `source`, when this is no
  /// character model's, another version's, or broken.
  static CharModel from_metadata(const Metadata& metadata, const std::string& source);

  /// A safetensors file. Throws Error with the path and the reason.
  void save(const std::string& path) const;
  /// Reads what `save` wrote. Throws Error, saying why, for any other file.
  static CharModel load(const std::string& path);

  CharModel clone() const;

 private:
  Tensor embedded(Tensor inputs) const;

  Vocabulary vocabulary_;
  CharModelOptions options_;
  Parameter* table_;
  Stack<AnyCell>& cells_;
  Linear& output_;
};

}  // namespace rw

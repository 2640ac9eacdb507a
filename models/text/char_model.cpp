#include <fmt/format.h>

#include <rewind/core/error.h>
#include <rewind/models/sequence/unroll.h>
#include <rewind/models/sizes.h>
#include <rewind/models/text/char_model.h>
#include <rewind/ops/dropout.h>
#include <rewind/ops/lookup.h>

namespace rw {

namespace {

Stack<AnyCell> make_cells(const CharModelOptions& o, Index vocabulary, Rng& rng) {
  detail::checked_size("char_model", "layers", o.layers);
  AnyCellOptions options;
  if (o.init) options.weights = options.recurrent = options.biases = *o.init;
  Index below = o.embedding > 0 ? o.embedding : vocabulary;
  std::vector<AnyCell> cells;
  for (Index i = 0; i < o.layers; ++i) {
    options.key = static_cast<std::uint32_t>(i);
    cells.push_back(make_cell(o.cell, below, o.hidden, rng, options));
    below = output_width(cells.back());
  }
  return Stack<AnyCell>(std::move(cells), {.dropout = o.dropout});
}

Array make_table(const CharModelOptions& o, Index vocabulary, Rng& rng) {
  return o.init ? (*o.init)(rng, vocabulary, o.embedding) : normal(rng, {vocabulary, o.embedding}, 1);
}

LinearOptions output_options(const CharModelOptions& o) {
  return {.weights = o.init.value_or(Init::glorot()), .biases = o.init.value_or(Init::constant(0))};
}

Index checked(const Vocabulary& vocabulary, const CharModelOptions& o) {
  if (vocabulary.size() == 0) throw Error("char_model: the vocabulary is empty");
  if (o.embedding < 0) throw Error(fmt::format("char_model: the embedding is {}: it must be 0 or more", o.embedding));
  return vocabulary.size();
}

}  // namespace

CharModel::CharModel(Vocabulary vocabulary, const CharModelOptions& options, Rng& rng)
    : Module("char_model"),
      vocabulary_(std::move(vocabulary)),
      options_(options),
      table_(checked(vocabulary_, options) > 0 && options.embedding > 0
                 ? &param("embedding", make_table(options, vocabulary_.size(), rng))
                 : nullptr),
      cells_(child("cells", make_cells(options, vocabulary_.size(), rng))),
      output_(child("output", Linear(output_width(cells_), vocabulary_.size(), rng, output_options(options)))) {
  if (table_ != nullptr) return;
  Tape tape;  // a cell that cannot take characters as they are says so before anything begins
  step(tape.constant(Array(Shape{1}, DType::i32)), cells_.zero_state(tape, 1));
}

Tensor CharModel::embedded(Tensor inputs) const { return table_ != nullptr ? lookup(*table_, inputs) : inputs; }

Tensor CharModel::logits(Tensor inputs, State& state) const {
  if (inputs.shape().rank() != 2 || inputs.size(0) == 0)
    throw Error("char_model: inputs are [T, N] numbers of characters, not " + inputs.shape().str());
  const Scope scope(inputs.tape(), name());
  const auto states = unroll(cells_, embedded(inputs), state);
  state = states.back();
  return output_(detail::dropped(outputs(cells_, states), options_.dropout, training()));
}

CharModel::State CharModel::step(Tensor inputs, const State& state) const {
  const Scope scope(inputs.tape(), name());
  return cells_.step(embedded(inputs), state);
}

CharModel CharModel::clone() const {
  Rng unused(0);
  return cloned(CharModel(vocabulary_, options_, unused), *this);
}

}  // namespace rw

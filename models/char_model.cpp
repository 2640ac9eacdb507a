#include <fmt/format.h>

#include <rewind/core/error.h>
#include <rewind/models/cell.h>
#include <rewind/models/char_model.h>
#include <rewind/models/gru_cell.h>
#include <rewind/models/lstm_cell.h>
#include <rewind/models/rnn_cell.h>
#include <rewind/models/sizes.h>
#include <rewind/models/stack.h>
#include <rewind/models/unroll.h>
#include <rewind/ops/dropout.h>
#include <rewind/ops/lookup.h>

namespace rw {

/// The stack of cells, whatever its type.
class CharModel::Core {
 public:
  virtual ~Core() = default;
  virtual State zero_state(Tape& tape, Index batch) const = 0;
  /// The top layer's outputs, [T, N, hidden].
  virtual Tensor unroll(Tensor x, State& state) const = 0;
};

template <class C>
class CharModel::CoreOf : public CharModel::Core {
 public:
  explicit CoreOf(Stack<C>& stack) : stack_(stack) {}

  State zero_state(Tape& tape, Index batch) const override { return erased(stack_.zero_state(tape, batch)); }

  Tensor unroll(Tensor x, State& state) const override {
    typename Stack<C>::State typed;
    typed.layers.resize(stack_.depth());
    if (state.tensors.size() != tensor_count(typed))
      throw Error(fmt::format("a character model's state of {} tensors does not fit: it has {}", state.tensors.size(),
                              tensor_count(typed)));
    std::size_t i = 0;
    for_each_tensor(typed, [&](Tensor& t) { t = state.tensors[i++]; });
    std::vector<typename Stack<C>::State> states;
    stack_.unroll(x, typed, states);
    if (states.empty()) throw Error("a character model needs at least one step");
    state = erased(states.back());
    return outputs(stack_, states);
  }

 private:
  static State erased(const typename Stack<C>::State& typed) {
    State state;
    for_each_tensor(typed, [&](const Tensor& t) { state.tensors.push_back(t); });
    return state;
  }

  Stack<C>& stack_;
};

template <class C, class Options>
void CharModel::add_cells(Rng& rng, Options options) {
  if (options_.init) options.weights = options.recurrent = options.biases = *options_.init;
  std::vector<C> cells;
  for (Index i = 0; i < options_.layers; ++i) {
    const Index below = options_.embedding > 0 ? options_.embedding : vocabulary_.size();
    cells.emplace_back(i == 0 ? below : options_.hidden, options_.hidden, rng, options);
  }
  cells_ = std::make_unique<CoreOf<C>>(child("cells", Stack<C>(std::move(cells), {.dropout = options_.dropout})));
}

CharModel::CharModel(Vocabulary vocabulary, const CharModelOptions& options, Rng& rng)
    : Module("char_model"), vocabulary_(std::move(vocabulary)), options_(options) {
  if (vocabulary_.size() == 0) throw Error("char_model: the vocabulary is empty");
  detail::checked_size("char_model", "layers", options.layers);
  detail::checked_size("char_model", "hidden", options.hidden);
  if (options.embedding < 0)
    throw Error(fmt::format("char_model: the embedding is {}: it must be 0 or more", options.embedding));
  const Init other = options.init.value_or(Init::glorot());
  if (options.embedding > 0)
    table_ = &param("embedding", options.init ? other(rng, vocabulary_.size(), options.embedding)
                                              : normal(rng, {vocabulary_.size(), options.embedding}, 1));
  if (options.cell == "lstm")
    add_cells<LstmCell>(rng, LstmOptions{});
  else if (options.cell == "gru")
    add_cells<GruCell>(rng, GruOptions{});
  else if (options.cell == "rnn")
    add_cells<RnnCell>(rng, RnnOptions{});
  else
    throw Error(fmt::format("char_model: there is no cell \"{}\": it is lstm, gru or rnn", options.cell));
  output_ = &child("output", Linear(options.hidden, vocabulary_.size(), rng,
                                    {.weights = other, .biases = options.init.value_or(Init::constant(0))}));
}

CharModel::~CharModel() = default;
CharModel::CharModel(CharModel&&) noexcept = default;
CharModel& CharModel::operator=(CharModel&&) noexcept = default;

CharModel::State CharModel::zero_state(Tape& tape, Index batch) const { return cells_->zero_state(tape, batch); }

Tensor CharModel::logits(Tensor inputs, State& state) const {
  if (inputs.shape().rank() != 2)
    throw Error("char_model: inputs are [T, N] numbers of characters, not " + inputs.shape().str());
  const Scope scope(inputs.tape(), name());
  Tensor h = cells_->unroll(table_ != nullptr ? lookup(*table_, inputs) : inputs, state);
  if (training() && options_.dropout > 0) h = dropout(h, options_.dropout);
  return (*output_)(h);
}

CharModel::State CharModel::step(Tensor inputs, State state) const {
  const Scope scope(inputs.tape(), name());
  const Tensor one = record(Reshape{inputs.shape().inserted(0, 1)}, {inputs});
  cells_->unroll(table_ != nullptr ? lookup(*table_, one) : one, state);
  return state;
}

CharModel CharModel::clone() const {
  Rng unused(0);
  return cloned(CharModel(vocabulary_, options_, unused), *this);
}

}  // namespace rw

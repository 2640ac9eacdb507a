#pragma once

#include <concepts>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include <rewind/autograd/compile/compile.h>
#include <rewind/models/state.h>
#include <rewind/models/text/sampler.h>

namespace rw {

/// What can be decoded: numbers of symbols i32 [T, N] and a state give the logits of the symbols that follow, [T, N,
/// V], and the state after the last step. CharModel is one. Axis 0 of every tensor of a state is the batch; whatever a
/// stream's choices depend on (an encoder's outputs) is in the state.
template <class M>
concept TokenModel = requires(const M& model, Tape& tape, Index batch, Tensor tokens, typename M::State& state) {
  { model.zero_state(tape, batch) } -> std::same_as<typename M::State>;
  { model.logits(tokens, state) } -> std::same_as<Tensor>;
};

using Tokens = std::vector<std::int32_t>;

struct SampleOptions {
  SamplerOptions choice = {};
  /// The most symbols to choose for a stream.
  Index length = 100;
  /// A stream ends after this symbol, which is its last.
  std::optional<std::int32_t> stop = std::nullopt;
};

struct BeamOptions {
  /// Hypotheses that are followed at a time. 1 is greedy.
  Index width = 4;
  /// The most symbols of a hypothesis.
  Index length = 100;
  /// A hypothesis is complete after this symbol, which is its last.
  std::optional<std::int32_t> stop = std::nullopt;
  /// Scores are log-probabilities over ((5 + length) / 6)^penalty (Wu et al., 2016); 0 leaves them alone, more favours
  /// long ones.
  double length_penalty = 0;
};

/// What beam search found.
struct Hypothesis {
  Tokens tokens;
  double log_probability = 0, score = 0;
  bool stopped = false;  // by the stop symbol; else by the length
};

/// Throws Error for a width or length below 1, and for a penalty that is no number of 0 or more.
void check(const BeamOptions& options);

namespace detail {

/// The last step's logits, [N, V], of those that a model gave for tokens [T, N]. Throws Error unless they are [T, N,
/// V].
std::vector<float> last_logits(const Shape& tokens, const Tensor& logits);

/// What does not depend on the model's type. Logits are of f32.
class DecoderCore {
 public:
  DecoderCore(Index batch, std::uint64_t seed);
  virtual ~DecoderCore() = default;

  Index batch() const { return batch_; }
  /// Symbols there are; 0 before anything was read.
  Index symbols() const { return symbols_; }

  /// Reads a prompt: the same for every stream, or one for each, of any lengths (an empty one leaves its stream as it
  /// is). Throws Error as the model does, for prompts that are not one for each stream, and for an empty one when
  /// nothing was read before; nothing is read then.
  void read(std::span<const std::int32_t> tokens);
  void read(std::span<const Tokens> prompts);
  void read(const std::vector<Tokens>& prompts) { read(std::span<const Tokens>(prompts)); }

  /// The logits of the symbol that follows in a stream. Throws Error when nothing was read, or there is no such stream.
  std::span<const float> logits(Index stream = 0) const;

  /// Chooses symbols, one after the other, and reads each: the state then is that after the last one, to go on from.
  /// Stream 0 draws from Rng(seed), each other one from its own split of it, so that a stream's choices do not depend
  /// on the others. Throws Error when nothing was read, and for options that make no sense.
  std::vector<Tokens> sample(const SampleOptions& options);
  /// One symbol for each stream, as `sample` chooses it.
  Tokens next(const SamplerOptions& options);

  /// The most likely continuations that beam search finds, best score first, for each stream; the streams' states are
  /// left as they are (read a hypothesis to go on from it). A complete hypothesis takes up one of the `width` places,
  /// so that width 1 is greedy choice, and a width of all continuations is exhaustive. Of equal ones the earlier and
  /// lower symbol comes first. Throws Error when nothing was read, and for options that make no sense.
  std::vector<std::vector<Hypothesis>> beam(const BeamOptions& options);

  /// Forgets what was read.
  void reset();
  /// The state of the streams, to be stored and set. `set_state` throws Error when it does not fit. The logits are not
  /// in it: read on.
  const SavedState& state() const { return state_; }
  void set_state(SavedState state);
  /// Begins the draws anew.
  void set_seed(std::uint64_t seed);

 protected:
  /// Runs the model over tokens [T, N] from `state` (empty: from the first), which becomes the last; gives the last
  /// step's logits, [N, V].
  virtual std::vector<float> run(const Array& tokens, SavedState& state) = 0;
  virtual SavedState zero_state(Index batch) = 0;

 private:
  using Flags = std::vector<char>;  // one for each stream
  struct Reached {
    SavedState state;
    std::vector<float> logits;
  };
  void run_long(const Array& tokens, Reached& reached);
  void keep_streams(const Reached& from, Reached& to, const Flags& kept) const;
  void advance(const Tokens& tokens, const Flags& ended);
  void need_logits() const;
  void check_stop(std::optional<std::int32_t> stop) const;

  Index batch_, symbols_ = 0;
  SavedState state_;
  std::vector<float> logits_;  // [N, V]
  std::vector<Rng> rngs_;
};

}  // namespace detail

struct TokenDecoderOptions {
  std::uint64_t seed = 0;
  /// Of the tape; logits are f32 in any case.
  DType dtype = DType::f32;
  /// Read one symbol at a time by a plan, which is compiled the first time: quicker, for models that compile can trace.
  bool compiled = false;
};

/// Decodes with any model of symbols, a batch of streams at a time: greedily, by draws (temperature, top-k, nucleus) or
/// by beam search. States are kept from call to call: a prompt is read once, and what was chosen is read too.
///
///     TokenDecoder decoder(model, 2);
///     decoder.read({{5, 1, 3}, {2}});
///     auto drawn = decoder.sample({.choice = {.top_p = 0.9}, .length = 50, .stop = 0});
///     auto best = decoder.beam({.width = 8, .stop = 0, .length_penalty = 0.6})[0][0].tokens;
template <TokenModel M>
class TokenDecoder : public detail::DecoderCore {
 public:
  /// The model must outlive the decoder; it should be in `eval()` mode. Throws Error for a batch below 1.
  explicit TokenDecoder(const M& model, Index batch = 1, const TokenDecoderOptions& options = {})
      : DecoderCore(batch, options.seed), model_(&model), options_(options), tape_(options.dtype) {
    tape_.set_recording_gradients(false);
  }

 protected:
  /// Logits of the symbols after these, and the state after them.
  std::vector<float> run(const Array& tokens, SavedState& saved) override {
    if (options_.compiled && !saved.empty() && tokens.shape() == Shape{1, batch()}) {
      if (!step_) step_ = compiled_step();
      return step_(tokens, saved);
    }
    tape_.clear();
    typename M::State state = model_->zero_state(tape_, tokens.shape()[1]);
    if (!saved.empty()) state = restore_state(tape_, saved, state);
    const Tensor logits = model_->logits(tape_.constant(tokens), state);
    std::vector<float> last = detail::last_logits(tokens.shape(), logits);
    save_state(state, saved);
    return last;
  }
  SavedState zero_state(Index batch) override {
    tape_.clear();
    return save_state(model_->zero_state(tape_, batch));
  }

 private:
  /// What a compiled step returns: a plain list, so that the state goes in and out as saved arrays.
  struct Outcome {
    Tensor logits;
    std::vector<Tensor> state;
  };
  using Step = std::function<std::vector<float>(const Array& tokens, SavedState& state)>;

  Step compiled_step() const {
    const auto f = [model = model_, batch = batch()](Tape& tape, Tensor tokens, const std::vector<Tensor>& carried) {
      typename M::State state = model->zero_state(tape, batch);
      std::size_t i = 0;
      for_each_tensor(state, [&](Tensor& t) { t = carried[i++]; });
      Outcome out;
      out.logits = model->logits(tokens, state);
      for_each_tensor(state, [&](const Tensor& t) { out.state.push_back(t); });
      return out;
    };
    using Plan = decltype(compile(f, CompileOptions{}, Array(), SavedState()));
    const auto plan = std::make_shared<Plan>(f, CompileOptions{.dtype = options_.dtype});
    return [plan](const Array& tokens, SavedState& state) {
      const Outcome out = (*plan)(tokens, state);
      std::vector<float> last = detail::last_logits(tokens.shape(), out.logits);
      save_state(out.state, state);
      return last;
    };
  }

  const M* model_;
  TokenDecoderOptions options_;
  Tape tape_;
  Step step_;
};

}  // namespace rw

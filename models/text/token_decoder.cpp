#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include <rewind/core/error.h>
#include <rewind/models/text/beam.h>
#include <rewind/models/text/token_decoder.h>

namespace rw::detail {
namespace {

/// Steps that a prompt is read in at once: enough for large products, few enough for a long prompt to fit in memory.
constexpr Index read_length = 256;

void check_finite(std::span<const float> logits) {
  for (std::size_t i = 0; i < logits.size(); ++i)
    if (!std::isfinite(logits[i])) throw Error(fmt::format("logit {} is {}: the model is broken", i, logits[i]));
}

}  // namespace

std::vector<float> last_logits(const Shape& tokens, const Tensor& logits) {
  const Shape shape = logits.shape();
  if (shape.rank() != 3 || shape[0] != tokens[0] || shape[1] != tokens[1])
    throw Error("decoder: logits of tokens " + tokens.str() + " are [T, N, V], not " + shape.str());
  std::vector<float> all = logits.array().to_vector<float>();
  all.erase(all.begin(), all.end() - static_cast<std::ptrdiff_t>(shape[1] * shape[2]));
  return all;
}

DecoderCore::DecoderCore(Index batch, std::uint64_t seed) : batch_(batch) {
  if (batch < 1) throw Error(fmt::format("decoder: a batch of {}: it must be 1 or more", batch));
  set_seed(seed);
}

void DecoderCore::set_seed(std::uint64_t seed) {
  rngs_.clear();
  for (Index n = 0; n < batch_; ++n)
    rngs_.push_back(n == 0 ? Rng(seed) : Rng(seed).split(static_cast<std::uint64_t>(n)));
}

void DecoderCore::reset() {
  state_.clear();
  logits_.clear();
}

void DecoderCore::set_state(SavedState state) {
  check_same_shapes(zero_state(batch_), state);
  state_ = std::move(state);
  logits_.clear();
}

void DecoderCore::need_logits() const {
  if (logits_.empty()) throw Error("decoder: nothing was read: read a prompt, or a first symbol, to begin with");
}

void DecoderCore::check_stop(std::optional<std::int32_t> stop) const {
  if (stop.has_value() && (*stop < 0 || *stop >= symbols_))
    throw Error(fmt::format("decoder: the stop symbol is {}, of {} symbols", *stop, symbols_));
}

std::span<const float> DecoderCore::logits(Index stream) const {
  need_logits();
  if (stream < 0 || stream >= batch_)
    throw Error(fmt::format("decoder: there is no stream {} in a batch of {}", stream, batch_));
  return std::span(logits_).subspan(static_cast<std::size_t>(stream * symbols_), static_cast<std::size_t>(symbols_));
}

// In parts, so that a long prompt needs no more memory than a short one.
void DecoderCore::run_long(const Array& tokens, Reached& reached) {
  const Index steps = tokens.shape()[0], streams = tokens.shape()[1];
  const auto all = tokens.span<std::int32_t>();
  for (Index at = 0; at < steps; at += read_length) {
    const Index count = std::min(read_length, steps - at);
    const auto part = all.subspan(static_cast<std::size_t>(at * streams), static_cast<std::size_t>(count * streams));
    reached.logits = run(Array(part, {count, streams}), reached.state);
  }
}

void DecoderCore::read(std::span<const std::int32_t> tokens) {
  read(std::vector<Tokens>(static_cast<std::size_t>(batch_), Tokens(tokens.begin(), tokens.end())));
}

// All streams run up to the end of the shortest prompt that is left, and those that have ended keep their rows.
void DecoderCore::read(std::span<const Tokens> prompts) {
  if (prompts.size() != static_cast<std::size_t>(batch_))
    throw Error(fmt::format("decoder: {} prompts for a batch of {}", prompts.size(), batch_));
  std::vector<std::size_t> ends;
  for (const Tokens& p : prompts) ends.push_back(p.size());
  std::sort(ends.begin(), ends.end());
  if (logits_.empty() && ends.front() == 0 && ends.back() > 0)
    throw Error("decoder: a stream has an empty prompt, and nothing was read before");
  Reached reached{state_, logits_};
  std::size_t at = 0;
  for (const std::size_t end : ends) {
    if (end == at) continue;
    const auto streams = static_cast<std::size_t>(batch_);
    std::vector<std::int32_t> tokens((end - at) * streams, 0);
    Flags ended(streams);
    for (std::size_t n = 0; n < streams; ++n) {
      ended[n] = prompts[n].size() <= at;
      for (std::size_t t = at; t < end && ended[n] == 0; ++t) tokens[(t - at) * streams + n] = prompts[n][t];
    }
    const Reached before = reached;
    run_long(Array(tokens, {static_cast<Index>(end - at), batch_}), reached);
    keep_streams(before, reached, ended);
    at = end;
  }
  state_ = std::move(reached.state);
  logits_ = std::move(reached.logits);
  symbols_ = static_cast<Index>(logits_.size()) / batch_;
}

void DecoderCore::keep_streams(const Reached& from, Reached& to, const Flags& kept) const {
  const std::size_t symbols = to.logits.size() / kept.size();
  for (std::size_t n = 0; n < kept.size(); ++n) {
    if (kept[n] == 0) continue;
    for (std::size_t i = 0; i < to.state.size(); ++i) {
      if (to.state[i].shape().rank() == 0 || to.state[i].shape()[0] != batch_)
        throw Error("decoder: a state of shape " + to.state[i].shape().str() + " has no streams of its own");
      copy_row(from.state[i], to.state[i].view(), static_cast<Index>(n));
    }
    const auto row = static_cast<std::ptrdiff_t>(n * symbols);
    std::copy_n(from.logits.begin() + row, symbols, to.logits.begin() + row);
  }
}

// Each stream that has not ended reads its token.
void DecoderCore::advance(const Tokens& tokens, const Flags& ended) {
  const Reached before{state_, logits_};
  Reached reached = before;
  reached.logits = run(Array(tokens, {1, batch_}), reached.state);
  keep_streams(before, reached, ended);
  state_ = std::move(reached.state);
  logits_ = std::move(reached.logits);
}

Tokens DecoderCore::next(const SamplerOptions& options) {
  need_logits();
  Tokens chosen;
  for (Index n = 0; n < batch_; ++n)
    chosen.push_back(static_cast<std::int32_t>(choose(logits(n), options, rngs_[static_cast<std::size_t>(n)])));
  advance(chosen, Flags(chosen.size()));
  return chosen;
}

std::vector<Tokens> DecoderCore::sample(const SampleOptions& options) {
  need_logits();
  check(options.choice);
  check_stop(options.stop);
  if (options.length < 0)
    throw Error(fmt::format("decoder: a length of {} symbols: it must be 0 or more", options.length));
  const auto streams = static_cast<std::size_t>(batch_);
  std::vector<Tokens> out(streams);
  Flags ended(streams);
  for (Index i = 0; i < options.length; ++i) {
    Tokens chosen(streams, 0);
    for (std::size_t n = 0; n < streams; ++n) {
      if (ended[n] != 0) continue;
      chosen[n] = static_cast<std::int32_t>(choose(logits(static_cast<Index>(n)), options.choice, rngs_[n]));
      out[n].push_back(chosen[n]);
    }
    advance(chosen, ended);
    for (std::size_t n = 0; n < streams; ++n)
      if (chosen[n] == options.stop) ended[n] = 1;
    if (std::find(ended.begin(), ended.end(), 0) == ended.end()) break;
  }
  return out;
}

std::vector<std::vector<Hypothesis>> DecoderCore::beam(const BeamOptions& options) {
  need_logits();
  check(options);
  check_stop(options.stop);
  std::vector<BeamSearch> searches(static_cast<std::size_t>(batch_), BeamSearch(options));
  std::vector<float> logits = logits_;
  SavedState state = state_;
  for (const Array& a : state)
    if (a.shape().rank() == 0 || a.shape()[0] != batch_)
      throw Error("decoder: a state of shape " + a.shape().str() + " has no streams of its own");
  for (Index length = 1;; ++length) {
    check_finite(logits);
    std::vector<Index> rows;  // of the state, for every hypothesis that goes on
    Tokens tokens;
    Index first = 0;
    for (BeamSearch& search : searches) {
      const auto count = search.open().size();
      if (count == 0) continue;
      const auto part = std::span(logits).subspan(static_cast<std::size_t>(first * symbols_),
                                                  count * static_cast<std::size_t>(symbols_));
      for (const Index row : search.extend(part)) rows.push_back(first + row);
      for (const Hypothesis& h : search.open()) tokens.push_back(h.tokens.back());
      first += static_cast<Index>(count);
    }
    if (tokens.empty() || length == options.length) break;
    state = gather_rows(state, rows);
    logits = run(Array(tokens, {1, static_cast<Index>(tokens.size())}), state);
  }
  std::vector<std::vector<Hypothesis>> found;
  found.reserve(searches.size());
  for (BeamSearch& search : searches) found.push_back(search.finish());
  return found;
}

}  // namespace rw::detail

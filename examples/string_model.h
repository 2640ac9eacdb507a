#pragma once

// Pairs of strings: read this, then write that. Batches of them, and an LSTM that learns them.

#include <algorithm>
#include <string>
#include <vector>

#include <rewind/rewind.h>

#include "step.h"

namespace rw {

/// A text to read and the text to write after it, which ends with a mark of its own ('.').
struct StringPair {
  std::string read, write;
};

/// What was right of some pairs: characters written (the mark at the end does not count), and whole texts.
struct StringScores {
  double characters = 0, whole = 0;
};

/// Layers of LSTM that read one character after the other, and after the last one write the answer: each character of
/// it is predicted from those before, as in a language model, but only the answer's count. When such a prediction of an
/// answer is right throughout, the network also writes it by itself, greedily: it then reads what it wrote.
class StringModel {
 public:
  struct Options {
    Index layers = 1, hidden = 128;
    Schedule rate = [](Index) { return 2e-3; };  // by updates
    double clip = 1;
    bool eager = false;  // see CompileOptions
  };

  /// `alphabet`: all characters that occur. A blank is read before short texts, so that the answers begin together.
  StringModel(std::string alphabet, Rng& rng, const Options& options)
      : alphabet_(' ' + alphabet),
        network_{layers(static_cast<Index>(alphabet_.size()), options, rng),
                 Linear(options.hidden, static_cast<Index>(alphabet_.size()), rng)},
        parameters_(network_.parameters()),
        adam_(parameters_),
        rate_(options.rate),
        clip_(options.clip),
        train_({&network_}, step_options(options.eager)),
        test_({&network_}, step_options(options.eager)) {}

  /// One update for each 32 pairs, those of similar length together; returns the mean cross entropy of a character
  /// of the answers.
  double train(std::vector<StringPair> pairs) {
    const auto groups = grouped(std::move(pairs), 32);
    double loss = 0;
    for (const auto& group : groups) {
      const Batch b = batch(group);
      loss += train_(b.x, b.y, b.weights).item() / static_cast<double>(groups.size());
      clip_grad_norm(parameters_, clip_);
      adam_.set_rate(rate_(adam_.steps()));
      adam_.step();
    }
    return loss;
  }
  /// Updates so far.
  Index updates() const { return adam_.steps(); }

  StringScores test(const std::vector<StringPair>& pairs) {
    double right = 0, characters = 0, whole = 0;
    for (const auto& group : grouped(pairs, 100)) {
      const Batch b = batch(group);
      const auto [r, w] = test_(b.x, b.y, b.weights, b.last);
      right += r.item();
      whole += w.item();
      for (const StringPair& e : group) characters += static_cast<double>(e.write.size() - 1);
    }
    return {right / characters, whole / static_cast<double>(pairs.size())};
  }

 private:
  using Network = Readout<Stack<LstmCell>>;
  struct Batch {
    Array x;        // [T, N]: what is read, then the answer without its last character
    Array y;        // [A, N]: the answer, A the longest one's length so far
    Array weights;  // [A, N]: 1 for a character, 0 after the end
    Array last;     // [A, N]: 1 for the mark at the end
  };

  struct Train {
    const Network* network;
    Tensor operator()(Tape&, Tensor x, Tensor y, Tensor weights) const {
      const Tensor loss = cross_entropy(answer(*network, x, y), y, {.weights = weights});
      backward(loss);
      return loss;
    }
  };
  struct Test {
    const Network* network;
    std::pair<Tensor, Tensor> operator()(Tape&, Tensor x, Tensor y, Tensor weights, Tensor last) const {
      const Tensor logits = answer(*network, x, y), right = equal(pick(logits, y), max(logits, {-1}));
      const Tensor mistakes = sum((1 - right) * weights, {0});
      return {sum(right * (weights - last)), sum(equal(mistakes, 0))};
    }
  };
  static Tensor answer(const Network& network, Tensor x, Tensor y) {
    return slice(network(x), 0, x.size(0) - y.size(0), y.size(0));
  }

  static Stack<LstmCell> layers(Index symbols, const Options& options, Rng& rng) {
    std::vector<LstmCell> layers;
    for (Index i = 0; i < options.layers; ++i)
      layers.emplace_back(i == 0 ? symbols : options.hidden, options.hidden, rng);
    return Stack(std::move(layers));
  }

  /// Groups of `size` pairs of similar length: short ones then cost little.
  static std::vector<std::vector<StringPair>> grouped(std::vector<StringPair> pairs, std::size_t size) {
    std::stable_sort(pairs.begin(), pairs.end(),
                     [](const StringPair& a, const StringPair& b) { return a.read.size() < b.read.size(); });
    std::vector<std::vector<StringPair>> groups;
    for (std::size_t i = 0; i < pairs.size(); ++i) {
      if (i % size == 0) groups.emplace_back();
      groups.back().push_back(std::move(pairs[i]));
    }
    return groups;
  }

  /// Lengths are rounded up, for what is written to the longest so far: few plans then serve all batches.
  Batch batch(const std::vector<StringPair>& pairs) {
    std::size_t read = 0;
    for (const StringPair& e : pairs) {
      read = std::max(read, e.read.size());
      longest_ = std::max(longest_, e.write.size());
    }
    read = static_cast<std::size_t>(bucket(static_cast<Index>(read)));
    const std::size_t write = longest_;
    const std::size_t n = pairs.size();
    const Shape answers{static_cast<Index>(write), static_cast<Index>(n)};
    Batch b{zeros({static_cast<Index>(read + write - 1), static_cast<Index>(n)}, DType::i32),
            zeros(answers, DType::i32), zeros(answers), zeros(answers)};
    const auto x = b.x.span<std::int32_t>(), y = b.y.span<std::int32_t>();
    for (std::size_t i = 0; i < n; ++i) {
      const StringPair& e = pairs[i];
      for (std::size_t t = 0; t < e.read.size(); ++t) x[(read - e.read.size() + t) * n + i] = number(e.read[t]);
      for (std::size_t t = 0; t < e.write.size(); ++t) {
        y[t * n + i] = number(e.write[t]);
        b.weights.span<float>()[t * n + i] = 1;
        if (t + 1 < e.write.size()) x[(read + t) * n + i] = number(e.write[t]);
      }
      b.last.span<float>()[(e.write.size() - 1) * n + i] = 1;
    }
    return b;
  }
  std::int32_t number(char c) const {
    const auto at = alphabet_.find(c);
    if (at == std::string::npos) throw Error(std::string("the alphabet has no '") + c + "'");
    return static_cast<std::int32_t>(at);
  }

  std::string alphabet_;
  Network network_;
  std::vector<NamedParameter> parameters_;
  Adam adam_;
  Schedule rate_;
  double clip_;
  std::size_t longest_ = 0;
  Compiled<Train, Array, Array, Array> train_;
  Compiled<Test, Array, Array, Array, Array> test_;
};

}  // namespace rw

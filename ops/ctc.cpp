#include <limits>
#include <vector>

#include <fmt/format.h>

#include <rewind/core/error.h>
#include <rewind/ops/arithmetic.h>
#include <rewind/ops/compare.h>
#include <rewind/ops/ctc.h>
#include <rewind/ops/lookup.h>
#include <rewind/ops/padding.h>
#include <rewind/ops/reduce.h>
#include <rewind/ops/softmax.h>
#include <rewind/ops/view.h>

namespace rw {
namespace {

constexpr double impossible = -std::numeric_limits<double>::infinity();

void check_shapes(const Tensor& log_probs, const Tensor& targets, Index blank) {
  const Shape x = log_probs.shape(), y = targets.shape();
  const auto refuse = [&](const std::string& why) { throw log_probs.tape().error("ctc_loss", why); };
  if (x.rank() != 3 || y.rank() != 2 || x[1] != y[1])
    refuse(
        fmt::format("log probabilities {} and targets {} do not fit: they are [T, N, C] and [S, N]", x.str(), y.str()));
  if (is_real(targets.dtype())) refuse(fmt::format("targets must be indices (i32), not {}", name_of(targets.dtype())));
  if (blank < 0 || blank >= x[2]) refuse(fmt::format("the blank is {}: it must be one of {} classes", blank, x[2]));
  if (y[0] > x[0])
    refuse(fmt::format("targets {} have room for {} symbols, log probabilities {} only {} steps: no step says two",
                       y.str(), y[0], x.str(), x[0]));
}

/// Throws Error for a symbol that is the blank, which would be read as nothing, and for one that is no class. While
/// values are not known, lookup checks the latter.
void check_symbols(const Tensor& targets, const std::optional<Tensor>& lengths, Index blank, Index classes) {
  if (targets.tape().tracing()) return;
  const Array symbols = targets.array(), ends = lengths ? lengths->array() : Array{};
  const Index batch = symbols.shape()[1];
  for (Index i = 0; i < symbols.size(); ++i) {
    const Index at = i / batch, n = i % batch, symbol = symbols.span<std::int32_t>()[static_cast<std::size_t>(i)];
    if (lengths && at >= ends.span<std::int32_t>()[static_cast<std::size_t>(n)]) continue;
    if (symbol == blank || symbol < 0 || symbol >= classes)
      throw targets.tape().error(
          "ctc_loss", fmt::format("symbol {} of target {} is {}: it must be one of {} classes, and not the blank, {}",
                                  at, n, symbol, classes, blank));
  }
}

/// Labels [..., S] with the blank before, between and after them: [..., 2S + 1].
Tensor with_blanks(Tensor labels, Tensor blanks) {
  const int last = labels.shape().rank() - 1;
  const Index S = labels.size(last);
  const Tensor pairs = stack({slice(blanks, last, 0, S), labels}, last + 1);
  return concat({reshape(pairs, labels.shape().with(last, 2 * S)), slice(blanks, last, S, 1)}, last);
}

/// What each step says of each target's symbols, with blanks between them: [T, N, 2S + 1].
Tensor emissions(Tensor log_probs, Tensor targets, Index blank) {  // targets [N, S]
  const Index T = log_probs.size(0), N = log_probs.size(1), S = targets.size(1);
  const Tensor blanks = broadcast_to(slice(log_probs, 2, blank, 1), {T, N, S + 1});
  if (N == 0) return with_blanks(slice(blanks, 2, 0, S), blanks);
  const Tensor by_class = permute(log_probs, {1, 2, 0});  // [N, C, T]
  std::vector<Tensor> each;
  for (Index n = 0; n < N; ++n) each.push_back(lookup(select(by_class, 0, n), select(targets, 0, n)));
  return with_blanks(permute(stack(each), {2, 0, 1}), blanks);
}

/// 0 where the blank before a place may be left out, and -inf elsewhere: the place is a symbol, and another one than
/// the symbol before. [N, 2S + 1].
Tensor skips(Tensor targets, Index classes) {  // [N, S]
  Tape& tape = targets.tape();
  const Index N = targets.size(0), S = targets.size(1);
  const Tensor never = tape.constant(impossible, Shape{N, S + 1});
  if (S == 0) return never;
  const Tensor symbols = one_hot(targets, classes);
  const Tensor repeated = sum(slice(symbols, 1, 1, S - 1) * slice(symbols, 1, 0, S - 1), {-1});
  const Tensor first = tape.constant(impossible, Shape{N, 1});
  return with_blanks(concat({first, where(repeated, impossible, 0)}, 1), never);
}

/// 1 where an alignment of a target may end: at its last symbol and at the blank behind it. [N, 2S + 1].
Tensor ends(Tensor lengths, Index S) {
  const Tensor length_is = one_hot(lengths, S + 1);
  return with_blanks(slice(length_is, 1, 1, S), length_is);
}

/// log p(target | log_probs), [N].
Tensor log_likelihood(Tensor log_probs, Tensor targets, Tensor target_lengths, const CtcOptions& options) {
  Tape& tape = log_probs.tape();
  const Index T = log_probs.size(0), N = log_probs.size(1), S = targets.size(1), L = 2 * S + 1;
  const Tensor said = emissions(log_probs, targets, options.blank), skip = skips(targets, log_probs.size(2));
  const Tensor there = options.input_lengths ? sequence_mask(*options.input_lengths, T, 3) : Tensor{};
  // Log probability of all ways to each place, behind two places that no way leads to.
  const Tensor before = tape.constant(impossible, Shape{N, 2});
  Tensor ways = concat({before, tape.constant(0, Shape{N, 1}), tape.constant(impossible, Shape{N, L - 1})}, 1);
  for (Index t = 0; t < T; ++t) {
    const Scope scope(tape, "t", t);
    const Tensor steps = stack({slice(ways, 1, 2, L), slice(ways, 1, 1, L), slice(ways, 1, 0, L) + skip});
    const Tensor next = concat({before, logsumexp(steps, 0) + select(said, 0, t)}, 1);
    ways = there.valid() ? where(select(there, 0, t), next, ways) : next;
  }
  return logsumexp(where(ends(target_lengths, S), slice(ways, 1, 2, L), impossible), 1);
}

}  // namespace

Tensor ctc_loss(Operand x, Operand y, const CtcOptions& options) {
  Tape& tape = checked_tensor("ctc_loss", x.tensor() != nullptr ? x : y).tape();
  const Tensor log_probs = tape.resolve(x);
  Tensor targets = tape.resolve(y);
  const Scope scope(tape, "ctc_loss");
  check_shapes(log_probs, targets, options.blank);
  const Index S = targets.size(0), N = targets.size(1);
  if (options.target_lengths) targets = clear_padding(targets, *options.target_lengths);
  check_symbols(targets, options.target_lengths, options.blank, log_probs.size(2));
  const Tensor lengths =
      options.target_lengths
          ? *options.target_lengths
          : tape.constant(Array(std::vector<std::int32_t>(static_cast<std::size_t>(N), static_cast<std::int32_t>(S))));
  const Tensor spelt = log_likelihood(log_probs, transpose(targets), lengths, options);
  const Tensor losses = where(not_equal(spelt, impossible), -spelt, -impossible);
  switch (options.reduction) {
    case Reduction::none: return losses;
    case Reduction::sum: return sum(losses);
    default: return mean(losses);
  }
}

}  // namespace rw

#include <array>
#include <numeric>
#include <string>

#include <rewind/models/cells/cell.h>
#include <rewind/models/cells/choices.h>
#include <rewind/models/text/char_model.h>

namespace rw {
namespace {

/// The polynomial of degree N - 1 that has these values at 1, 2, ..., N (in Newton's form).
template <std::size_t N>
double extrapolated(std::array<double, N> values, double at) {
  double sum = 0, factor = 1;
  for (std::size_t i = 0; i < N; ++i) {
    sum += factor * values[0];
    factor *= (at - 1 - static_cast<double>(i)) / static_cast<double>(i + 1);
    for (std::size_t j = 0; j + 1 < N - i; ++j) values[j] = values[j + 1] - values[j];
  }
  return sum;
}

template <std::size_t N, class F>
double along(double at, F f) {
  std::array<double, N> values;
  for (std::size_t i = 0; i < N; ++i) values[i] = f(static_cast<Index>(i + 1));
  return extrapolated(values, at);
}

std::u32string characters(Index n) {
  std::u32string out;
  for (Index i = 0; i < n; ++i) out.push_back(U'a' + static_cast<char32_t>(i));
  return out;
}

/// A width that the cell can divide into what it needs. Throws Error for heads that do not divide that of the model.
Index divisible_width(const CharModelOptions& options) {
  const detail::CellChoices choices(options.cell);
  const Index heads = choices.numbers("heads").empty() ? 1 : choices.count("heads");
  return std::lcm(Index{8}, detail::checked_heads(std::string(choices.name()).c_str(), heads, options.hidden, heads));
}

}  // namespace

// The count is linear in vocabulary, embedding and layers and quadratic in the width, so that some models of a few
// numbers say what it is for any size, whatever gates and projections the cell has.
double parameter_count_of(Index vocabulary, const CharModelOptions& options) {
  const Index unit = divisible_width(options);
  const auto count = [&](Index v, Index e, Index layers, Index width) {
    CharModelOptions small = options;
    small.embedding = e;
    small.layers = layers;
    small.hidden = unit * width;
    small.init = Init::constant(0);
    Rng unused(0);
    return static_cast<double>(CharModel(Vocabulary(characters(v)), small, unused).parameter_count());
  };
  const auto of = [](Index n) { return static_cast<double>(n); };
  return along<2>(of(vocabulary), [&](Index v) {
    return along<2>(options.embedding > 0 ? of(options.embedding) : 1, [&](Index e) {
      return along<2>(of(options.layers), [&](Index layers) {
        return along<3>(of(options.hidden) / of(unit),
                        [&](Index width) { return count(v, options.embedding > 0 ? e : 0, layers, width); });
      });
    });
  });
}

}  // namespace rw

#include "descent.h"

#include <cmath>

#include <rewind/autograd/transform/derivatives.h>
#include <rewind/ops/view.h>

namespace rw::bench::gradbench {

std::pair<Mode, Mode> modes_of(std::string_view eval, std::string_view letters) {
  if (letters.size() != 2 || letters.find_first_not_of("fr") != letters.npos) no_function(eval, letters);
  const auto mode = [](char c) { return c == 'f' ? Mode::forward : Mode::reverse; };
  return {mode(letters[0]), mode(letters[1])};
}

Tensor gradient(Mode mode, const std::function<Tensor(Tensor)>& f, Tensor x) {
  if (mode == Mode::reverse) return value_and_grad(f, x).second;
  std::vector<Tensor> slopes;
  for (Index i = 0; i < x.size(); ++i) {
    Array unit(x.shape(), DType::f64);
    unit.span<double>()[static_cast<std::size_t>(i)] = 1;
    slopes.push_back(reshape(jvp(f, x, x.tape().constant(unit)).second, {1}));
  }
  return reshape(concat(slopes), x.shape());
}

Numbers descend(const std::function<std::pair<double, Numbers>(const Numbers&)>& f, Numbers x) {
  constexpr double tolerance = 1e-5;
  const auto norm = [](const Numbers& v) {
    double sum = 0;
    for (double e : v) sum += e * e;
    return std::sqrt(sum);
  };
  double rate = 1e-2;
  auto [value, slope] = f(x);
  for (int good = 0; norm(slope) > tolerance;) {
    if (good == 10) {
      rate *= 2;
      good = 0;
      continue;
    }
    Numbers next = x, moved(x.size());
    for (std::size_t i = 0; i < x.size(); ++i) next[i] -= moved[i] = rate * slope[i];
    if (norm(moved) <= tolerance && rate < 1e-12) break;  // no step is good any more
    auto [next_value, next_slope] = f(next);
    if (next_value < value) {
      x = std::move(next), value = next_value, slope = std::move(next_slope), ++good;
      if (norm(moved) <= tolerance * 1e-3) break;
    } else {
      rate /= 2;
      good = 0;
    }
  }
  return x;
}

}  // namespace rw::bench::gradbench

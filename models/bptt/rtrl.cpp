#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include <rewind/core/error.h>
#include <rewind/core/gemm/gemm.h>
#include <rewind/models/bptt/rtrl.h>

namespace rw::detail {

Influence::Influence(std::vector<Parameter*> parameters, const RtrlOptions& options)
    : parameters_(std::move(parameters)), options_(options) {
  if (options.sparse_steps < 0)
    throw Error(
        fmt::format("[rtrl] sparse_steps is {}: it must be 0, for exact derivatives, or more", options.sparse_steps));
}

Index Influence::width() const {
  Index n = 0;
  for (const Parameter* p : parameters_) n += p->size();
  return n;
}

void Influence::advance(ConstView j) {
  const Array wide = Array(j).to(DType::f64);
  const Index states = j.shape[0], p = width();
  Array next(Shape{states, p}, DType::f64);
  const double* from = wide.span<double>().data();
  for (Index s = 0; s < states; ++s)
    std::copy_n(from + s * (states + p) + states, p, next.span<double>().data() + s * p);
  if (matrix_.size() > 0) {
    const ConstView by_state{from, Shape{states, states}, states + p, DType::f64};
    gemm(by_state, false, matrix_.view(), false, next.view(), true);
  }
  if (mask_.shape() == next.shape())
    std::transform(next.span<double>().begin(), next.span<double>().end(), mask_.span<double>().begin(),
                   next.span<double>().begin(), [](double x, double kept) { return kept != 0 ? x : 0; });
  matrix_ = std::move(next);
}

void Influence::restrict_to(const SparsityPattern& step) {
  const Index states = step.rows, p = width();
  Array direct(Shape{states, p}, DType::f64), by_state(Shape{states, states}, DType::f64);
  for (Index s = 0; s < states; ++s)
    for (const std::uint32_t c : step.of_row[static_cast<std::size_t>(s)]) {
      if (c < states)
        by_state.span<double>()[static_cast<std::size_t>(s * states + c)] = 1;
      else
        direct.span<double>()[static_cast<std::size_t>(s * p + c - states)] = 1;
    }
  Array reached = direct;
  for (int k = 1; k < options_.sparse_steps; ++k) {
    Array next = direct;
    gemm(by_state.view(), false, reached.view(), false, next.view(), true);
    for (double& e : next.span<double>()) e = e != 0 ? 1 : 0;
    reached = std::move(next);
  }
  mask_ = std::move(reached);
}

void Influence::add_gradients(std::span<const double> by_state) const {
  const Index p = width();
  std::vector<double> total(static_cast<std::size_t>(p), 0);
  const double* row = matrix_.span<double>().data();
  for (double slope : by_state) {
    for (Index i = 0; i < p; ++i) total[static_cast<std::size_t>(i)] += slope * row[i];
    row += p;
  }
  const double* from = total.data();
  for (Parameter* parameter : parameters_) {
    visit_real(parameter->dtype(), [&]<class T>() {
      for (T& g : parameter->grad().span<T>()) g += static_cast<T>(*from++);
    });
  }
}

}  // namespace rw::detail

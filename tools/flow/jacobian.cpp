#include <algorithm>

#include <rewind/tools/flow/flow.h>
#include <rewind/tools/flow/jacobian.h>

namespace rw::detail {

void Jacobian::set(Index row, Index at, const Tape& tape, Tensor t) {
  if (!tape.has_grad(t)) return;
  const Array g = Array(tape.grad(t)).to(DType::f64);
  const Index batch = values_.shape()[0], width = g.size() / batch;
  for (Index n = 0; n < batch; ++n)
    std::copy_n(g.span<double>().begin() + n * width, width,
                values_.span<double>().begin() + (n * rows_ + row) * columns_ + at);
}

void Jacobian::set_row(Index row, const Tape& tape, std::span<const Tensor> tensors) {
  Index at = 0;
  for (const Tensor& t : tensors) {
    set(row, at, tape, t);
    at += t.size() / t.size(0);
  }
}

double Jacobian::mean_norm() const {
  const Index batch = values_.shape()[0];
  double sum = 0;
  for (Index n = 0; n < batch; ++n)
    sum += spectral_norm(contiguous_view(static_cast<const void*>(values_.span<double>().data() + n * rows_ * columns_),
                                         {rows_, columns_}, DType::f64));
  return sum / static_cast<double>(batch);
}

Array ones_in_column(const Shape& shape, Index i) {
  Array a(shape, DType::f64);
  const Index width = a.size() / shape[0];
  for (Index n = 0; n < shape[0]; ++n) a.span<double>()[static_cast<std::size_t>(n * width + i)] = 1;
  return a;
}

}  // namespace rw::detail

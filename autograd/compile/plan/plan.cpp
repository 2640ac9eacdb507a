#include <algorithm>

#include <rewind/autograd/compile/plan/plan.h>
#include <rewind/core/gemm/packed.h>

namespace rw::ir {

std::size_t Plan::Pack::bytes() const {
  return bf16 != nullptr ? 0 : static_cast<std::size_t>(detail::packed_size(k, n)) * sizeof(float);
}

std::size_t Plan::packed_bytes() const {
  std::size_t all = 0;
  for (const auto& product : bf16_products) all += product->bytes();
  for (const Pack& pack : packs) all += pack.bytes();
  return all;
}

void Plan::shrink() {
  const auto fit = [](auto&... lists) { (lists.shrink_to_fit(), ...); };
  fit(layout.buffers, steps, pointers, generics, views, products, packs, programs, calls);
}

bool Plan::has_lanes() const {
  return std::any_of(sections.begin(), sections.end(), [](const Section& s) { return s.lanes != nullptr; });
}

}  // namespace rw::ir

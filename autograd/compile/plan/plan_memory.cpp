#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <string>

#include <rewind/autograd/compile/plan/plan_memory.h>
#include <rewind/core/error.h>
#include <rewind/core/memory.h>

namespace rw::ir {

void FreeBytes::operator()(std::byte* p) const { std::free(p); }

std::byte* PlanMemory::reserve(std::size_t bytes) {
  // At least one byte: values without elements have an address too.
  std::size_t all = bytes / 64 * 64 + 64;
  if (all <= bytes_) return now_.get();
  all = std::max(all, bytes_ / 128 * 192);  // so that it seldom grows
  grown_out_of_.reserve(grown_out_of_.size() + 1);
  Bytes block(static_cast<std::byte*>(detail::allocate_vectors(all)));
  if (block == nullptr) throw Error("compile: no memory for the plan, which takes " + std::to_string(bytes) + " bytes");
  // What fills up a last vector is computed too, and what nobody wrote could be subnormal numbers, which are slow.
  std::memset(block.get(), 0, all);
  if (now_ != nullptr) grown_out_of_.push_back(std::move(now_));
  now_ = std::move(block);
  bytes_ = all;
  return now_.get();
}

}  // namespace rw::ir

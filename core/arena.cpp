#include <algorithm>
#include <cstdlib>

#include <rewind/core/arena.h>
#include <rewind/core/error.h>
#include <rewind/core/memory.h>

namespace rw {
namespace {

constexpr std::size_t smallest_chunk = std::size_t{1} << 16, largest_chunk = std::size_t{1} << 26;

}  // namespace

void Arena::Free::operator()(std::byte* p) const { std::free(p); }

void Arena::enter(std::size_t chunk) {
  chunk_ = chunk;
  base_ = chunks_[chunk].data.get();
  size_ = chunks_[chunk].size;
  used_ = 0;
}

void* Arena::grow(std::size_t bytes) {
  if (!chunks_.empty()) {
    chunks_[chunk_].used = used_;
    base_used_ += used_;
  }
  // The chunks after the current one are empty: use the next that is large enough, dropping none.
  std::size_t next = chunks_.empty() ? 0 : chunk_ + 1;
  for (; next < chunks_.size() && chunks_[next].size < bytes; ++next) chunks_[next].used = 0;
  if (next == chunks_.size()) {
    // A quarter more at a time: few chunks, and little that is held in vain.
    const std::size_t wanted = std::clamp(reserved_ / 4, smallest_chunk, largest_chunk);
    const std::size_t size = (std::max(wanted, bytes) + 63) / 64 * 64;
    auto* p = static_cast<std::byte*>(detail::allocate_vectors(size));
    if (p == nullptr) throw Error("no memory for " + std::to_string(bytes) + " bytes more on the tape");
    chunks_.push_back({std::unique_ptr<std::byte[], Free>(p), size, 0});
    reserved_ += size;
  }
  enter(next);
  used_ = bytes;
  return base_;
}

void Arena::rewind(Mark mark) {
  if (chunks_.empty()) return;
  stacked_peak_ = stacked_peak();
  if (mark.chunk != chunk_) {
    for (std::size_t i = mark.chunk; i < chunk_; ++i) base_used_ -= chunks_[i].used;
    enter(mark.chunk);
  }
  used_ = mark.used;
}

std::size_t Arena::rounded(std::size_t bytes) {
  if (bytes <= 256) return bytes <= 64 ? 64 : (bytes + 63) / 64 * 64;
  const std::size_t step = std::bit_floor(bytes - 1) / 4;
  return (bytes + step - 1) / step * step;
}

std::size_t Arena::class_of(std::size_t rounded) {
  if (rounded <= 256) return rounded / 64 - 1;
  const auto log = static_cast<std::size_t>(std::bit_width(rounded - 1)) - 1;
  const std::size_t quarter = (rounded - 1 - (std::size_t{1} << log)) >> (log - 2);
  return 4 + (log - 8) * 4 + quarter;
}

void* Arena::take(std::size_t bytes) {
  const std::size_t size = rounded(bytes);
  live_ += size;
  peak_ = std::max(peak_, live_);
  FreeBlock*& head = free_[class_of(size)];
  if (head != nullptr) {
    FreeBlock* block = head;
    head = block->next;
    return block;
  }
  return allocate(size);
}

void Arena::release(void* block, std::size_t bytes) {
  const std::size_t size = rounded(bytes);
  live_ -= size;
  auto* b = static_cast<FreeBlock*>(block);
  FreeBlock*& head = free_[class_of(size)];
  b->next = head;
  head = b;
}

void Arena::reset() {
  if (chunks_.empty()) return;  // nothing was ever taken
  free_.fill(nullptr);
  live_ = 0;
  rewind({});
}

}  // namespace rw

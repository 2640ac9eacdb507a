#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <memory>
#include <vector>

namespace rw {

/// Memory that grows by large chunks and is never given back before destruction, so that a second identical step takes
/// nothing from the heap. Two uses, not mixed within one arena: a stack (`allocate`, `mark`, `rewind`) or blocks that
/// come and go (`take`, `release`). Blocks are aligned to 64 bytes when they are 64 bytes or more, to 16 below.
class Arena {
 public:
  /// A position in the stack.
  struct Mark {
    std::size_t chunk = 0, used = 0;
  };

  Arena() = default;
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  /// `bytes` uninitialised, valid until `rewind` to an earlier mark. Never null, not even for 0 bytes.
  void* allocate(std::size_t bytes) {
    const std::size_t align = bytes >= 64 ? 64 : 16;
    const std::size_t start = (used_ + align - 1) & ~(align - 1);
    if (start + bytes > size_) return grow(bytes);
    used_ = start + bytes;
    return base_ + start;
  }

  /// The top of the stack.
  Mark mark() const { return {chunk_, used_}; }
  /// Gives back what was allocated since the mark.
  void rewind(Mark mark);

  /// A block from the free list of its size class, or from the stack; `release` puts it back for the next `take`.
  void* take(std::size_t bytes);
  /// Gives a block of `take` back.
  void release(void* block, std::size_t bytes);
  /// Forgets all blocks: everything is free.
  void reset();

  /// Bytes taken by `take` and not given back, and the most they ever were since `reset_peak`.
  std::size_t live() const { return live_; }
  /// The most bytes that were in use since `reset_peak`.
  std::size_t peak() const { return peak_; }
  /// `peak` begins anew.
  void reset_peak() {
    peak_ = live_;
    stacked_peak_ = 0;
  }
  /// Bytes on the stack, the most they ever were since `reset_peak`, and bytes held from the heap.
  std::size_t stacked() const { return base_used_ + used_; }
  /// The most bytes that the stack took.
  std::size_t stacked_peak() const { return stacked_peak_ > stacked() ? stacked_peak_ : stacked(); }
  /// Bytes held from the heap.
  std::size_t reserved() const { return reserved_; }

 private:
  struct Free {
    void operator()(std::byte* p) const;
  };
  struct Chunk {
    std::unique_ptr<std::byte[], Free> data;
    std::size_t size;
    std::size_t used = 0;  // kept up to date for the chunks before the current one
  };
  struct FreeBlock {
    FreeBlock* next;
  };

  // Classes of sizes: four to each power of two, so that at most a quarter of a block is wasted.
  static std::size_t rounded(std::size_t bytes);
  static std::size_t class_of(std::size_t rounded);

  void* grow(std::size_t bytes);
  void enter(std::size_t chunk);

  alignas(64) static inline std::byte nowhere_[64];  // the chunk of an arena that has none, of size 0
  std::byte* base_ = nowhere_;
  std::size_t used_ = 0, size_ = 0;  // of the current chunk
  std::size_t chunk_ = 0;
  std::size_t base_used_ = 0;  // bytes in the chunks before the current one
  std::vector<Chunk> chunks_;
  std::array<FreeBlock*, 256> free_{};
  std::size_t live_ = 0, peak_ = 0, stacked_peak_ = 0, reserved_ = 0;
};

}  // namespace rw

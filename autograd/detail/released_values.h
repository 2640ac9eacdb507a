#pragma once

#include <cstring>
#include <vector>

namespace rw::detail {

/// Memory of values that a backward released, for new values of the same size on the same tape: a tape that goes on
/// from chunk to chunk does not grow.
class ReleasedValues {
 public:
  /// `block` of `bytes`, at least a pointer's.
  void put(void* block, std::size_t bytes) {
    Size& size = of(bytes);
    std::memcpy(block, &size.first, sizeof(void*));
    size.first = block;
    bytes_ += bytes;
  }
  /// A block of this size, or null.
  void* pick(std::size_t bytes) {
    Size& size = of(bytes);
    void* block = size.first;
    if (block == nullptr) return nullptr;
    std::memcpy(&size.first, block, sizeof(void*));
    bytes_ -= bytes;
    return block;
  }
  void forget() {
    sizes_.clear();
    bytes_ = 0;
  }
  std::size_t bytes() const { return bytes_; }

 private:
  struct Size {
    std::size_t bytes;
    void* first;  // each block begins with the address of the next
  };
  // A model has few sizes.
  Size& of(std::size_t bytes) {
    for (Size& size : sizes_)
      if (size.bytes == bytes) return size;
    return sizes_.emplace_back(Size{bytes, nullptr});
  }

  std::vector<Size> sizes_;
  std::size_t bytes_ = 0;
};

}  // namespace rw::detail

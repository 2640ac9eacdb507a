#pragma once

#include <array>
#include <cstddef>
#include <vector>

namespace rw {

/// A vector whose first `N` elements need no memory from the heap: states of layers, lists of tensors. Its size is set
/// when it is made and by `resize`.
template <class T, std::size_t N = 4>
class InlineVector {
 public:
  InlineVector() = default;
  explicit InlineVector(std::size_t size) { resize(size); }

  void resize(std::size_t size) {
    if (size > N) {
      if (size_ <= N) more_.assign(few_.begin(), few_.begin() + static_cast<std::ptrdiff_t>(size_));
      more_.resize(size);
    } else if (size_ > N) {
      for (std::size_t i = 0; i < size; ++i) few_[i] = more_[i];
      more_.clear();
    } else {
      for (std::size_t i = size_; i < size; ++i) few_[i] = T{};
    }
    size_ = size;
  }
  void push_back(const T& value) {
    resize(size_ + 1);
    end()[-1] = value;
  }

  std::size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  T* data() { return size_ <= N ? few_.data() : more_.data(); }
  const T* data() const { return size_ <= N ? few_.data() : more_.data(); }
  T* begin() { return data(); }
  T* end() { return data() + size_; }
  const T* begin() const { return data(); }
  const T* end() const { return data() + size_; }
  T& operator[](std::size_t i) { return data()[i]; }
  const T& operator[](std::size_t i) const { return data()[i]; }
  T& back() { return data()[size_ - 1]; }
  const T& back() const { return data()[size_ - 1]; }

 private:
  std::array<T, N> few_{};
  std::vector<T> more_;
  std::size_t size_ = 0;
};

}  // namespace rw

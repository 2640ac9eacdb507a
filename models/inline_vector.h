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
  /// Of default elements.
  explicit InlineVector(std::size_t size) { resize(size); }

  /// Keeps the first ones.
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
  /// One more at the end.
  void push_back(const T& value) {
    resize(size_ + 1);
    end()[-1] = value;
  }

  /// Number of elements.
  std::size_t size() const { return size_; }
  /// Whether there are none.
  bool empty() const { return size_ == 0; }
  /// As std::vector has it.
  T* data() { return size_ <= N ? few_.data() : more_.data(); }
  /// As std::vector has it.
  const T* data() const { return size_ <= N ? few_.data() : more_.data(); }
  /// As std::vector has it.
  T* begin() { return data(); }
  /// As std::vector has it.
  T* end() { return data() + size_; }
  /// As std::vector has it.
  const T* begin() const { return data(); }
  /// As std::vector has it.
  const T* end() const { return data() + size_; }
  /// As std::vector has it.
  T& operator[](std::size_t i) { return data()[i]; }
  /// As std::vector has it.
  const T& operator[](std::size_t i) const { return data()[i]; }
  /// As std::vector has it.
  T& back() { return data()[size_ - 1]; }
  /// As std::vector has it.
  const T& back() const { return data()[size_ - 1]; }

 private:
  std::array<T, N> few_{};
  std::vector<T> more_;
  std::size_t size_ = 0;
};

}  // namespace rw

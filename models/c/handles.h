#pragma once
// Numbers that stand for objects. Internal to the C interface.
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

namespace rw::c {

/// Objects by number. A number is a place and how often it was given out: one that was given back is no object's, for
/// ever. Any thread may call.
template <class T>
class Handles {
 public:
  std::uint64_t add(std::shared_ptr<T> object) {
    const std::lock_guard lock(mutex_);
    for (std::size_t i = 0; i <= places_.size(); ++i) {
      if (i == places_.size()) places_.emplace_back();
      Place& place = places_[i];
      if (place.object) continue;
      place.object = std::move(object);
      ++place.generation;
      return (static_cast<std::uint64_t>(place.generation) << 32) | (i + 1);
    }
    return 0;
  }
  /// Null for a number that stands for nothing.
  std::shared_ptr<T> find(std::uint64_t handle) const {
    const std::lock_guard lock(mutex_);
    const Place* place = place_of(handle);
    return place == nullptr ? nullptr : place->object;
  }
  /// The object, which the number no longer stands for.
  std::shared_ptr<T> remove(std::uint64_t handle) {
    const std::lock_guard lock(mutex_);
    const Place* place = place_of(handle);
    return place == nullptr ? nullptr : std::move(const_cast<Place*>(place)->object);
  }

 private:
  struct Place {
    std::shared_ptr<T> object{};
    std::uint32_t generation = 0;
  };
  const Place* place_of(std::uint64_t handle) const {
    const std::uint64_t at = handle & 0xffffffff;
    if (at == 0 || at > places_.size()) return nullptr;
    const Place& place = places_[at - 1];
    return place.object && place.generation == handle >> 32 ? &place : nullptr;
  }

  mutable std::mutex mutex_;
  std::vector<Place> places_;
};

}  // namespace rw::c

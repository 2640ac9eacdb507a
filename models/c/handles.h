#pragma once
// Numbers that stand for objects. Internal to the C interface.
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

namespace rw::c {

/// Objects by number. A number is a slot and how often it was given out: one that was given back is no object's, for
/// ever. Any thread may call.
template <class T>
class Handles {
 public:
  std::uint64_t add(std::shared_ptr<T> object) {
    const std::lock_guard lock(mutex_);
    for (std::size_t i = 0; i <= slots_.size(); ++i) {
      if (i == slots_.size()) slots_.emplace_back();
      Slot& slot = slots_[i];
      if (slot.object) continue;
      slot.object = std::move(object);
      ++slot.generation;
      return (static_cast<std::uint64_t>(slot.generation) << 32) | (i + 1);
    }
    return 0;
  }
  /// Null for a number that stands for nothing.
  std::shared_ptr<T> find(std::uint64_t handle) const {
    const std::lock_guard lock(mutex_);
    const Slot* slot = slot_of(handle);
    return slot == nullptr ? nullptr : slot->object;
  }
  /// The object, which the number no longer stands for.
  std::shared_ptr<T> remove(std::uint64_t handle) {
    const std::lock_guard lock(mutex_);
    const Slot* slot = slot_of(handle);
    return slot == nullptr ? nullptr : std::move(const_cast<Slot*>(slot)->object);
  }

 private:
  struct Slot {
    std::shared_ptr<T> object{};
    std::uint32_t generation = 0;
  };
  const Slot* slot_of(std::uint64_t handle) const {
    const std::uint64_t at = handle & 0xffffffff;
    if (at == 0 || at > slots_.size()) return nullptr;
    const Slot& slot = slots_[at - 1];
    return slot.object && slot.generation == handle >> 32 ? &slot : nullptr;
  }

  mutable std::mutex mutex_;
  std::vector<Slot> slots_;
};

}  // namespace rw::c

#include <mutex>
#include <ostream>

#include <rewind/autograd/detail/tape_data.h>
#include <rewind/core/error.h>

namespace rw {
namespace detail {

std::atomic<Slot*> slot_table[slot_blocks];

namespace {

// The pool of slots: touched only when a tape is made or destroyed.
struct Slots {
  std::mutex mutex;
  std::uint32_t made = 0;
  std::vector<Slot*> free;
};

Slots& slots() {
  static auto* pool = new Slots;  // never destroyed: handles may outlive everything
  return *pool;
}

Slot* new_slot(Slots& pool) {
  const std::uint32_t number = pool.made + 1;
  const std::uint32_t block = number / slots_in_block;
  if (block >= slot_blocks) throw Error("too many tapes at the same time");
  if (slot_table[block].load(std::memory_order_relaxed) == nullptr)
    slot_table[block].store(new Slot[slots_in_block], std::memory_order_release);
  Slot* slot = slot_table[block].load(std::memory_order_relaxed) + number % slots_in_block;
  slot->number = pool.made = number;
  return slot;
}

Slot* take_slot(TapeData* tape) {
  Slots& pool = slots();
  const std::lock_guard lock(pool.mutex);
  Slot* slot = nullptr;
  if (pool.free.empty()) {
    slot = new_slot(pool);
  } else {
    slot = pool.free.back();
    pool.free.pop_back();
  }
  slot->first_stamp.store(slot->next_stamp, std::memory_order_relaxed);
  slot->tape.store(tape, std::memory_order_release);
  return slot;
}

void give_slot(Slot* slot) {
  Slots& pool = slots();
  const std::lock_guard lock(pool.mutex);
  slot->tape.store(nullptr, std::memory_order_release);
  pool.free.push_back(slot);
}

}  // namespace

TapeData::TapeData(Tape* o, const TapeOptions& opts) : owner(o), slot(nullptr), options(opts) {
  if (!is_real(opts.dtype)) throw Error("a tape computes in f32 or f64, not i32");
  slot = take_slot(this);
}

TapeData::~TapeData() { give_slot(slot); }

TapeData* TapeData::find(const Tensor& t) {
  if (t.slot_ == 0) return nullptr;
  TapeData* tape = tape_of_slot(t.slot_, t.stamp_);
  if (tape == nullptr || t.index_ >= tape->nodes.size() || tape->nodes[t.index_].stamp != t.stamp_) return nullptr;
  return tape;
}

void TapeData::throw_stale(const Tensor& t) {
  if (t.slot_ == 0) throw Error("an empty Tensor: it was never recorded");
  const Slot& slot = slot_of(t.slot_);
  if (slot.tape.load(std::memory_order_acquire) == nullptr || t.stamp_ < slot.first_stamp)
    throw Error("a stale Tensor: its tape was destroyed; keep the tape, or copy values out with array()");
  throw Error(
      "a stale Tensor: its tape was cleared or rewound since it was recorded; copy values out with array() before "
      "that, or record it anew");
}

TapeData& TapeData::of(const Tensor& t) {
  TapeData* tape = find(t);
  if (tape == nullptr) throw_stale(t);
  return *tape;
}

NodeId TapeData::id(const Tensor& t) const {
  if (t.slot_ == slot->number && t.index_ < nodes.size() && nodes[t.index_].stamp == t.stamp_) return t.index_;
  if (t.slot_ != slot->number && find(t) != nullptr)
    throw Error("tensors of two tapes are mixed: carry values over with tape.constant(t.array())");
  throw_stale(t);
}

}  // namespace detail

using detail::TapeData;

Shape Tensor::shape() const { return TapeData::of(*this).nodes[index_].shape; }
DType Tensor::dtype() const { return TapeData::of(*this).nodes[index_].dtype; }
Index Tensor::size(int axis) const {
  const Shape s = shape();
  return s[s.axis(axis)];
}
bool Tensor::needs_grad() const { return TapeData::of(*this).nodes[index_].needs_grad; }
bool Tensor::valid() const { return TapeData::find(*this) != nullptr; }
Tape& Tensor::tape() const { return *TapeData::of(*this).owner; }

ConstView Tensor::value() const {
  const TapeData& tape = TapeData::of(*this);
  const Node& n = tape.nodes[index_];
  if (n.data == nullptr) tape.throw_no_value(index_);
  return n.value();
}

double Tensor::item() const {
  const ConstView v = value();
  if (v.size() != 1) throw Error("item() needs exactly one element; the shape is " + v.shape.str());
  return visit_dtype(v.dtype, [&]<class T>() { return static_cast<double>(*v.as<T>()); });
}

std::ostream& operator<<(std::ostream& out, const Tensor& t) { return out << to_string(t.value()); }

}  // namespace rw

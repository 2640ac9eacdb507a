#include <rewind/models/bptt/checkpoint_state.h>

namespace rw::detail {

void copy_array(ConstView from, Array& to) {
  if (to.shape() == from.shape && to.dtype() == from.dtype)
    copy(from, to.view());
  else
    to = Array(from);
}

void copy_checkpoint(const Checkpoint& from, Checkpoint& to) {
  to.values.resize(from.values.size());
  for (std::size_t i = 0; i < from.values.size(); ++i) copy_array(from.values[i], to.values[i]);
  to.alias = from.alias;
}

std::size_t bytes_of(const SavedState& state) {
  std::size_t bytes = 0;
  for (const Array& a : state) bytes += sizeof(Array) + static_cast<std::size_t>(a.size()) * size_of(a.dtype());
  return bytes;
}

}  // namespace rw::detail

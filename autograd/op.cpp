#include <algorithm>
#include <mutex>

#include <rewind/autograd/op.h>

namespace rw {
namespace {

// Records are made when they are asked for, since what they are made of may not be there yet when they are registered.
struct Registry {
  std::mutex mutex;
  std::vector<const OpInfo& (*)()> ops;
};

Registry& registry() {
  static Registry all;
  return all;
}

}  // namespace

detail::RegisteredOp::RegisteredOp(const OpInfo& (*info)()) : info_(info) {
  Registry& all = registry();
  const std::lock_guard lock(all.mutex);
  all.ops.push_back(info);
}

detail::RegisteredOp::~RegisteredOp() {
  Registry& all = registry();
  const std::lock_guard lock(all.mutex);
  all.ops.erase(std::remove(all.ops.begin(), all.ops.end(), info_), all.ops.end());
}

std::vector<const OpInfo*> ops_named(std::string_view name) {
  Registry& all = registry();
  const std::lock_guard lock(all.mutex);
  std::vector<const OpInfo*> found;
  for (const auto info : all.ops)
    if (info().name == name) found.push_back(&info());
  return found;
}

}  // namespace rw

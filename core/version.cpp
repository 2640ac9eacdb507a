#include <rewind/core/version.h>

namespace rw {

std::string_view version() { return REWIND_VERSION; }

}  // namespace rw

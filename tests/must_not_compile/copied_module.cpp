// A module moves; it is not copied. clone() copies.
#include <utility>

#include <rewind/models/layers/linear.h>

rw::Linear moved(rw::Linear& linear) { return std::move(linear); }
rw::Linear cloned(const rw::Linear& linear) { return linear.clone(); }

#ifdef MUST_NOT_COMPILE
rw::Linear copied(const rw::Linear& linear) { return linear; }
#endif

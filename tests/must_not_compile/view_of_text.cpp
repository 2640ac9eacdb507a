// A view gives its elements only as one of the element types.
#include <rewind/core/view.h>

float first(const rw::ConstView& view) { return *view.as<float>(); }

#ifdef MUST_NOT_COMPILE
char first_letter(const rw::ConstView& view) { return *view.as<char>(); }
#endif

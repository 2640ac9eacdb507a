#pragma once

// Internal to autograd/: what names and numbers in the text of a program are made of.

namespace rw::detail {

inline bool is_digit(char c) { return c >= '0' && c <= '9'; }
inline bool starts_name(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
inline bool continues_name(char c) { return starts_name(c) || is_digit(c); }

}  // namespace rw::detail

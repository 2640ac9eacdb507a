#pragma once

// Internal to autograd/program/: what the text of a program is made of.

namespace rw::ir {

inline bool is_digit(char c) { return c >= '0' && c <= '9'; }
inline bool is_word(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || is_digit(c); }

}  // namespace rw::ir

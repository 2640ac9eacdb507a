#pragma once
// Whether this is compiled for a sanitizer of g++ or clang: REWIND_SANITIZED is defined then. They have a malloc of
// their own, and programs take some fifty times as long.

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define REWIND_SANITIZED
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define REWIND_SANITIZED
#endif
#endif

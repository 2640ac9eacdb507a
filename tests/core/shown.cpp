#include <string>

#include <doctest/doctest.h>

#include <rewind/core/shown.h>

using rw::shown;

TEST_CASE("shown: letters of any script stay, and what a terminal obeys is written out") {
  CHECK(shown("model.safetensors") == "model.safetensors");
  CHECK(shown("héllo 文字 \xf0\x9f\x8c\x8a") == "héllo 文字 \xf0\x9f\x8c\x8a");
  CHECK(shown("\x1b[31m\n\x7f") == "\\x1b[31m\\x0a\\x7f");
  CHECK(shown("\xc2\x9b") == "\\xc2\\x9b");           // C1: begins a command, too
  CHECK(shown("\xe2\x80\xae") == "\\xe2\\x80\\xae");  // turns the direction of text
  CHECK(shown("caf\xe9") == "caf\\xe9");
  CHECK(shown("") == "");
}

TEST_CASE("shown: long text is cut, never within a character") {
  CHECK(shown(std::string(80, 'x')) == std::string(80, 'x'));
  CHECK(shown(std::string(1'000'000, 'x')) == std::string(80, 'x') + "...");
  CHECK(shown("ab\xc3\xa9", 3) == "ab...");
  CHECK(shown("ab\x1b", 4) == "ab...");
}

TEST_CASE("is_utf8: the forms that the standard allows, and no others") {
  for (const char* good : {"", "abc", "\xc3\xa9", "\xe2\x82\xac", "\xed\x9f\xbf", "\xf4\x8f\xbf\xbf"})
    CHECK(rw::is_utf8(good));
  for (const char* bad : {"\x80", "\xc0\x80", "\xc3", "\xe0\x80\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xff"})
    CHECK_FALSE(rw::is_utf8(bad));
}

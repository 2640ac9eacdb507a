#include <string>

#include <doctest/doctest.h>

#include <rewind/core/error.h>
#include <rewind/models/text/text.h>

using namespace rw;

namespace {

std::string message_of(const std::string& bytes) {
  try {
    decode_utf8(bytes, "a.txt");
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

}  // namespace

TEST_CASE("UTF-8 of one to four bytes decodes, and encodes back") {
  const std::string bytes =
      "A\n\xC2\x80\xDF\xBF\xE0\xA0\x80\xED\x9F\xBF\xEE\x80\x80\xEF\xBF\xBF\xF0\x90\x80\x80\xF4\x8F\xBF\xBF";
  const std::u32string text = decode_utf8(bytes);
  CHECK(text == std::u32string{U'A', U'\n', 0x80, 0x7FF, 0x800, 0xD7FF, 0xE000, 0xFFFF, 0x10000, 0x10FFFF});
  CHECK(encode_utf8(text) == bytes);
  CHECK(decode_utf8("").empty());
  CHECK(decode_utf8(std::string(1, '\0')).size() == 1);
}

TEST_CASE("every code point goes through UTF-8 and back") {
  std::u32string all;
  for (char32_t c = 0; c <= 0x10FFFF; ++c)
    if (c < 0xD800 || c > 0xDFFF) all.push_back(c);
  CHECK(decode_utf8(encode_utf8(all)) == all);
}

TEST_CASE("invalid UTF-8 is named by the offset of the byte that does not belong") {
  CHECK(message_of("ab\xFFz") ==
        "a.txt: invalid UTF-8 at byte offset 2 (byte 0xff begins no character); convert the text to UTF-8 first");
  CHECK(message_of("\x80").find("offset 0 (byte 0x80 begins no character)") != std::string::npos);
  CHECK(message_of("x\xC0\xAF").find("offset 1 ") != std::string::npos);          // overlong '/'
  CHECK(message_of("x\xE0\x80\xAF").find("offset 2 ") != std::string::npos);      // the same in three bytes
  CHECK(message_of("x\xF0\x80\x80\xAF").find("offset 2 ") != std::string::npos);  // and in four
  CHECK(message_of("\xED\xA0\x80").find("offset 1 ") != std::string::npos);       // a surrogate
  CHECK(message_of("\xF4\x90\x80\x80").find("offset 1 ") != std::string::npos);   // above U+10FFFF
  CHECK(message_of("\xF5\x80\x80\x80").find("offset 0 ") != std::string::npos);
  CHECK(message_of("\xE2\x82z").find("offset 2 ") != std::string::npos);
  CHECK(message_of("abc\xE2\x82").find("offset 3 (the last character is cut off)") != std::string::npos);
}

TEST_CASE("encoding refuses what is no character") {
  CHECK_THROWS_WITH_AS(encode_utf8(std::u32string(1, 0xD800)), "U+D800 is no character: it has no UTF-8 form", Error);
  CHECK_THROWS_AS(encode_utf8(std::u32string(1, 0x110000)), Error);
}

TEST_CASE("a character in a message can be read") {
  CHECK(printable(U'a') == "'a'");
  CHECK(printable(U'é') == "'é'");
  CHECK(printable(U' ') == "U+0020");
  CHECK(printable(U'\n') == "U+000A");
  CHECK(printable(0x7F) == "U+007F");
}

TEST_CASE("a vocabulary numbers characters by code point") {
  const Vocabulary v = Vocabulary::of(U"banana é");
  CHECK(v.characters() == U" abné");
  CHECK(v.size() == 5);
  CHECK(v.find(U'b') == 2);
  CHECK(v.find(U'z') == -1);
  CHECK(v.encode(U"nab") == std::vector<std::int32_t>{3, 1, 2});
  CHECK(v.decode(v.encode(U"banana é")) == U"banana é");
  CHECK(Vocabulary(U" abné") == v);
  CHECK_THROWS_WITH_AS(Vocabulary(U"aba"), "a vocabulary has the character 'a' twice", Error);
}

TEST_CASE("characters that a vocabulary lacks are listed") {
  const Vocabulary v = Vocabulary::of(U"abc");
  CHECK_THROWS_WITH_AS(v.encode(U"a z\nz", "prompt"),
                       "prompt: the vocabulary of 3 characters lacks U+000A, U+0020, 'z'", Error);
  CHECK_THROWS_WITH_AS(v.encode(U"0123456789"),
                       "text: the vocabulary of 3 characters lacks '0', '1', '2', '3', '4', '5', '6', '7' and 2 more",
                       Error);
  CHECK_THROWS_AS(v.decode(std::vector<std::int32_t>{3}), Error);
  CHECK_THROWS_AS(v.decode(std::vector<std::int32_t>{-1}), Error);
}

TEST_CASE("a byte order mark is no character of a text") {
  CHECK(decode_utf8("\xEF\xBB\xBF"
                    "ab") == U"ab");
  CHECK(decode_utf8("\xEF\xBB\xBF").empty());
  CHECK(decode_utf8("a\xEF\xBB\xBF") == U"a\uFEFF");  // elsewhere it is one
  CHECK(message_of("\xEF\xBB\xBF"
                   "ab\xFF")
            .find("offset 5 ") != std::string::npos);
}

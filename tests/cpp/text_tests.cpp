// What reads text, without Python: what the sanitizers run on. Exit status 0 and a line of counts
// when everything agrees.
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "text/blake2b.h"
#include "text/duplicates.h"
#include "text/fasta.h"
#include "text/pickle_check.h"

namespace {

using provis::text::FastaChunk;
using provis::text::FastaRecord;

int failures = 0;
int checks = 0;

void expect(bool ok, const std::string& what) {
  ++checks;
  if (ok) return;
  ++failures;
  std::fprintf(stderr, "FAILED: %s\n", what.c_str());
}

// A copy on the heap with nothing behind it, so that a sanitizer sees a byte read too far.
struct Exact {
  explicit Exact(std::string_view text) : size(text.size()), data(new char[text.size()]) {
    if (size) std::memcpy(data.get(), text.data(), size);
  }
  std::string_view view() const { return {data.get(), size}; }
  size_t size;
  std::unique_ptr<char[]> data;
};

// Digests of the bytes 7 i mod 256, as Python's hashlib has them.
void check_blake2b() {
  struct Known {
    size_t size;
    uint32_t words[4];
  };
  const Known known[] = {{0, {0x4169e6ca, 0x40bdefd9, 0x75884d4e, 0x7076a68e}},
                         {3, {0xd3cc7006, 0x742c5576, 0x8775e0b1, 0x77990adb}},
                         {127, {0xedb3ef40, 0x73b96e1b, 0x4274f7c5, 0x3002db2a}},
                         {128, {0xeebce506, 0xf66b5a47, 0x7ca0b8d9, 0x0ae84a6f}},
                         {129, {0xbfe7c72e, 0xff65828a, 0xd7ad8ad6, 0x7e2bcd0e}},
                         {256, {0x798db0db, 0x39625410, 0x4daa5045, 0x3f13104e}},
                         {1000, {0xf3a69580, 0xfefe9289, 0x8eac121c, 0x9107e7c5}}};
  for (const Known& one : known) {
    std::string text;
    for (size_t i = 0; i < one.size; ++i) text.push_back(static_cast<char>(7 * i));
    const Exact exact(text);
    const provis::text::Digest digest = provis::text::blake2b(exact.data.get(), exact.size);
    expect(std::memcmp(digest.words, one.words, sizeof one.words) == 0,
           "BLAKE2b of " + std::to_string(one.size) + " bytes");
  }
}

void check_indices() {
  provis::text::IdIndex ids;
  provis::text::SequenceIndex sequences;
  using Seen = provis::text::IdIndex::Seen;
  for (uint32_t i = 0; i < 5000; ++i) {
    const std::string id = "id" + std::to_string(i);
    expect(ids.add(id, "MKV", i).seen == Seen::kNew, "a new id");
    expect(sequences.add(id, "of " + id) == "of " + id, "a new sequence");
  }
  for (uint32_t i = 0; i < 5000; ++i) {
    const std::string id = "id" + std::to_string(i);
    const auto same = ids.add(id, "MKV", 0);
    const auto other = ids.add(id, "MKVL", 0);
    expect(same.seen == Seen::kSame && same.file == i, "the same protein");
    expect(other.seen == Seen::kOtherSequence && other.file == i, "another sequence");
    expect(sequences.add(id, "late") == "of " + id, "the first id of a sequence");
  }
  expect(ids.size() == 5000 && sequences.size() == 5000, "sizes");
  expect(ids.bytes() <= 40 * 5000 + 30000, "memory of an index");
}

// All that is told of records, one text per record.
std::vector<std::string> told(const FastaChunk& chunk, int64_t first_line) {
  std::vector<std::string> found;
  for (const FastaRecord& record : chunk.records) {
    std::string text = std::to_string(first_line + record.line) + (record.plain ? " plain " : " ");
    text += record.plain
                ? std::string(record.id) + " " + chunk.residues.substr(record.residues, record.n)
                : std::string(record.text);
    found.push_back(text);
  }
  return found;
}

std::vector<std::string> in_pieces(std::string_view text, size_t piece) {
  std::vector<std::string> found;
  std::string rest;
  int64_t line = 1;
  for (size_t at = 0; at < text.size() || at == 0; at += piece) {
    rest += text.substr(at, piece);
    const bool last = at + piece >= text.size();
    const Exact exact(rest);
    const FastaChunk chunk = provis::text::split_fasta(exact.view(), last, 50, 400);
    for (std::string& one : told(chunk, line)) found.push_back(std::move(one));
    line += chunk.lines;
    rest.erase(0, static_cast<size_t>(chunk.consumed));
    if (last) break;
  }
  expect(rest.empty(), "all of the text is consumed");
  return found;
}

void check_fasta() {
  const std::string text =
      ">one first\nMKV\nla\r\n\n>two\n; a comment\n M K\tV*\n\n> "
      "three\nM-K\n>four\nM1\n>five\n>\nMK\n>\xc3\xa9\n"
      "MK\n>six\n*\n>seven\nMK*\nA\n>eight\n" +
      std::string(50, 'M') + "\n>nine\n" + std::string(51, 'M') + "\n>ten\n" +
      std::string(400, ' ') + "M\n>dna\n" + std::string(40, 'A') + "\n>last x\nmk\n*";
  const std::vector<std::string> whole = in_pieces(text, text.size());
  expect(whole.size() == 14, "records");
  expect(whole[0] == "1 plain one MKVLA", "a record of several lines");
  expect(whole[1] == "5 plain two MKV", "a comment, blanks and a stop codon");
  expect(whole[2] == "9 > three\nM-K\n", "a gap");
  expect(whole[3] == "11 >four\nM1\n", "no residue");
  expect(whole[7].find(" plain ") == std::string::npos, "no residues but a stop codon");
  expect(whole[8].find(" plain ") == std::string::npos, "something after the stop codon");
  expect(whole[9] == "23 plain eight " + std::string(50, 'M'), "as many residues as are allowed");
  expect(whole[10].find(" plain ") == std::string::npos, "one more");
  expect(whole[11].find(" plain ") == std::string::npos, "too many bytes");
  expect(whole[12].find(" plain ") == std::string::npos, "DNA");
  expect(whole[13] == "31 plain last MK", "the end of the file ends the record");
  for (size_t piece = 1; piece < text.size(); ++piece) {
    expect(in_pieces(text, piece) == whole, "pieces of " + std::to_string(piece));
  }
  expect(provis::text::split_fasta({}, true, 50, 400).records.empty(), "no text");
}

void check_pickles() {
  using provis::text::check_pickle;
  using namespace std::string_literals;
  expect(check_pickle("}q\x00(X\x01\x00\x00\x00"s + "aK\x01u.") == "", "a dictionary");
  expect(check_pickle("(lp0\nI1\naI2\na."s) == "", "a list of protocol 0");
  expect(check_pickle("N") != "", "no end");
  expect(check_pickle("\x8e\xff\xff\xff\xff\xff\xff\xff\xff.") != "", "more bytes than there are");
  expect(check_pickle("Nr\xff\xff\xff\x7f.") != "", "a memo entry far away");
  // Any bytes: refused or not, but nothing is read beyond them and nothing goes on for ever.
  std::mt19937 random(1);
  const std::string codes =
      "()]}.0125abcdeghijlopqrstuNIKLMJFGSTUVXBC\x80\x85\x86\x87\x88\x8a\x8b\x8c"
      "\x8d\x8e\x8f\x90\x91\x93\x94\x95\x96\n\x01\x02";
  int accepted = 0;
  for (int round = 0; round < 50000; ++round) {
    std::string text;
    const size_t size = 1 + random() % 40;
    for (size_t i = 0; i < size; ++i) text.push_back(codes[random() % codes.size()]);
    const Exact exact(text);
    accepted += check_pickle(exact.view()).empty();
  }
  expect(accepted > 0, "some are plain data");
}

}  // namespace

int main() {
  check_blake2b();
  check_indices();
  check_fasta();
  check_pickles();
  std::printf("text tests: %d checks; %d failed\n", checks, failures);
  return failures == 0 ? 0 : 1;
}

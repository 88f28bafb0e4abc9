#include "text/fasta.h"

#include <algorithm>
#include <cstring>

namespace provis::text {
namespace {

// A protein of this many residues made of A, C, G, T, U and N alone is almost surely DNA or RNA.
constexpr int64_t kSuspiciousLength = 40;

bool is_blank(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

// Clears the bit that tells lower from upper case; nothing but a letter becomes a letter by it.
char upper(char c) { return static_cast<char>(c & 0xdf); }
bool is_letter(char c) { return static_cast<uint8_t>(upper(c) - 'A') < 26; }

bool is_nucleotide(char c) {
  return c == 'A' || c == 'C' || c == 'G' || c == 'T' || c == 'U' || c == 'N';
}

// Residues of one record, line by line.
class Body {
 public:
  explicit Body(std::string& out) : out_(out), begin_(out.size()) {}

  void add(std::string_view line) {
    if (!plain_ || line.empty() || line.front() == ';') return;
    if (line.back() == '\r') line.remove_suffix(1);
    const size_t at = out_.size();
    out_.resize(at + line.size());
    char* to = out_.data() + at;
    // Without a branch, so that it becomes vector code.
    uint8_t others = 0;
    for (size_t i = 0; i < line.size(); ++i) {
      to[i] = upper(line[i]);
      others |= static_cast<uint8_t>(to[i] - 'A') >= 26;
    }
    if (!others && (!star_ || line.empty())) return;
    out_.resize(at);
    add_carefully(line);
  }

  // Whether the record is plain; what was added is taken back where not.
  bool finish(int64_t max_residues) {
    const auto n = static_cast<int64_t>(out_.size() - begin_);
    plain_ = plain_ && n > 0 && n <= max_residues;
    if (plain_ && n >= kSuspiciousLength) {
      plain_ = !std::all_of(out_.begin() + begin_, out_.end(), is_nucleotide);
    }
    if (!plain_) out_.resize(begin_);
    return plain_;
  }

 private:
  void add_carefully(std::string_view line) {
    for (const char c : line) {
      if (is_blank(c)) continue;
      if (star_ || !(is_letter(c) || c == '*')) {
        plain_ = false;  // something after the stop codon, a gap, or no residue at all
        return;
      }
      if (c == '*') {
        star_ = true;
      } else {
        out_.push_back(upper(c));
      }
    }
  }

  std::string& out_;
  const size_t begin_;
  bool plain_ = true;
  bool star_ = false;
};

// First word of a header; empty where it has none, or one that is not plain ASCII.
std::string_view identifier(std::string_view header) {
  size_t begin = 1;
  while (begin < header.size() && is_blank(header[begin])) ++begin;
  size_t end = begin;
  for (; end < header.size() && !is_blank(header[end]); ++end) {
    if (static_cast<unsigned char>(header[end]) >= 0x80) return {};
  }
  return header.substr(begin, end - begin);
}

}  // namespace

FastaChunk split_fasta(std::string_view text, bool last, int64_t max_residues, int64_t max_bytes) {
  FastaChunk chunk;
  chunk.residues.reserve(text.size());
  int64_t line = 0;
  size_t at = 0;
  while (at < text.size()) {
    FastaRecord record{};
    record.line = line;
    record.residues = static_cast<int64_t>(chunk.residues.size());
    const size_t begin = at;
    Body body(chunk.residues);
    bool whole = false;
    for (bool header = true; at < text.size(); header = false) {
      if (!header && text[at] == '>') {
        whole = true;
        break;
      }
      const void* feed = std::memchr(text.data() + at, '\n', text.size() - at);
      const size_t end = feed ? static_cast<const char*>(feed) - text.data() : text.size();
      const std::string_view content = text.substr(at, end - at);
      if (header) {
        record.id = identifier(content);
      } else {
        body.add(content);
      }
      line += feed != nullptr;
      at = feed ? end + 1 : end;
    }
    if (!whole && !last) break;
    record.text = text.substr(begin, at - begin);
    record.plain = body.finish(max_residues) && !record.id.empty() &&
                   static_cast<int64_t>(record.text.size()) <= max_bytes;
    if (!record.plain) chunk.residues.resize(record.residues);
    record.n = static_cast<int64_t>(chunk.residues.size()) - record.residues;
    chunk.records.push_back(record);
    chunk.consumed = static_cast<int64_t>(at);
    chunk.lines = line;
  }
  return chunk;
}

}  // namespace provis::text

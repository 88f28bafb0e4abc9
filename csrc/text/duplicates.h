// Which proteins were there before: by id, and by sequence.
//
// Digests stand for ids and sequences. They are BLAKE2b's, against which nobody knows how to make
// two texts of one digest: no input, however made, can have a protein taken for another one. A fast
// hash with a fixed key would be cheaper by some tenths of a microsecond and give no such
// assurance.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "text/digest_table.h"

namespace provis::text {

// Ids with the file of each one's first protein and 64 bits of its sequence's digest. These decide
// only between two reasons for setting a protein aside whose id is taken.
class IdIndex {
 public:
  enum class Seen { kNew, kSame, kOtherSequence };
  struct Answer {
    Seen seen;
    uint32_t file;  // of the first protein with this id
  };

  Answer add(std::string_view id, std::string_view sequence, uint32_t file);
  int64_t size() const { return table_.size(); }
  int64_t bytes() const { return table_.bytes(); }

 private:
  DigestTable<7> table_;
};

// Sequences, by 128 bits, with the id of the first protein that has each.
class SequenceIndex {
 public:
  // The first protein's id, valid until the next call.
  std::string_view add(std::string_view sequence, std::string_view id);
  int64_t size() const { return table_.size(); }
  int64_t bytes() const { return table_.bytes() + static_cast<int64_t>(ids_.capacity()); }

 private:
  DigestTable<6> table_;
  std::vector<char> ids_;  // each a length of four bytes, then the text
};

}  // namespace provis::text

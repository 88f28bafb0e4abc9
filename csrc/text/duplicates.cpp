#include "text/duplicates.h"

#include <cstring>

namespace provis::text {

IdIndex::Answer IdIndex::add(std::string_view id, std::string_view sequence, uint32_t file) {
  const Digest of_sequence = blake2b(sequence.data(), sequence.size());
  bool added;
  uint32_t* entry = table_.find_or_add(blake2b(id.data(), id.size()), added);
  if (added) {
    entry[0] = of_sequence.words[0];
    entry[1] = of_sequence.words[1];
    entry[2] = file;
    return {Seen::kNew, file};
  }
  const bool same = entry[0] == of_sequence.words[0] && entry[1] == of_sequence.words[1];
  return {same ? Seen::kSame : Seen::kOtherSequence, entry[2]};
}

std::string_view SequenceIndex::add(std::string_view sequence, std::string_view id) {
  bool added;
  uint32_t* entry = table_.find_or_add(blake2b(sequence.data(), sequence.size()), added);
  if (added) {
    const uint64_t at = ids_.size();
    entry[0] = static_cast<uint32_t>(at);
    entry[1] = static_cast<uint32_t>(at >> 32);
    const auto length = static_cast<uint32_t>(id.size());
    char size[4];
    std::memcpy(size, &length, sizeof size);
    ids_.insert(ids_.end(), size, size + sizeof size);
    ids_.insert(ids_.end(), id.begin(), id.end());
  }
  const uint64_t at = entry[0] | static_cast<uint64_t>(entry[1]) << 32;
  uint32_t length;
  std::memcpy(&length, ids_.data() + at, sizeof length);
  return {ids_.data() + at + sizeof length, length};
}

}  // namespace provis::text

// A hash table from 128-bit digests to a few words each, in little memory.
//
// Entries are appended to blocks and never move; slots hold entry numbers alone, so that growing
// doubles 4 bytes per slot and not whole entries. With W words an entry costs 4 W bytes and, at the
// load kept here, 5 to 10 bytes of slots.
#pragma once

#include <cstdint>
#include <memory>
#include <stdexcept>
#include <vector>

#include "text/blake2b.h"

namespace provis::text {

// W: words of an entry, the digest's four first.
template <int W>
class DigestTable {
 public:
  static_assert(W > 4, "an entry is a digest and something to find by it");

  DigestTable() : slots_(kFirstSlots, kEmpty) {}

  int64_t size() const { return size_; }

  // Bytes that the table holds.
  int64_t bytes() const {
    return static_cast<int64_t>(slots_.size() * sizeof(uint32_t) +
                                blocks_.size() * kBlockEntries * W * sizeof(uint32_t));
  }

  // The W - 4 words found by a digest; new ones are zeros. `added`: whether they are new.
  uint32_t* find_or_add(const Digest& digest, bool& added) {
    if (5 * (size_ + 1) > 4 * static_cast<int64_t>(slots_.size())) grow();
    uint64_t slot = home(digest.words);
    for (; slots_[slot] != kEmpty; slot = (slot + 1) & (slots_.size() - 1)) {
      uint32_t* found = entry(slots_[slot]);
      if (equal(found, digest.words)) {
        added = false;
        return found + 4;
      }
    }
    if (size_ >= kEmpty) throw std::length_error("more than 2^32 - 1 proteins");
    if (size_ % kBlockEntries == 0) {
      blocks_.emplace_back(new uint32_t[kBlockEntries * W]());
    }
    slots_[slot] = static_cast<uint32_t>(size_);
    uint32_t* made = entry(size_++);
    for (int i = 0; i < 4; ++i) made[i] = digest.words[i];
    added = true;
    return made + 4;
  }

 private:
  static constexpr uint32_t kEmpty = 0xffffffff;
  static constexpr int64_t kFirstSlots = 64;
  static constexpr int64_t kBlockEntries = 1024;

  static bool equal(const uint32_t* a, const uint32_t* b) {
    return a[0] == b[0] && a[1] == b[1] && a[2] == b[2] && a[3] == b[3];
  }

  uint64_t home(const uint32_t* words) const {
    const uint64_t low = words[0] | static_cast<uint64_t>(words[1]) << 32;
    return low & (slots_.size() - 1);
  }

  uint32_t* entry(int64_t number) {
    return blocks_[number / kBlockEntries].get() + number % kBlockEntries * W;
  }

  void grow() {
    std::vector<uint32_t> old(2 * slots_.size(), kEmpty);
    old.swap(slots_);
    old.clear();
    old.shrink_to_fit();  // entries know their place themselves
    for (int64_t number = 0; number < size_; ++number) {
      uint64_t slot = home(entry(number));
      while (slots_[slot] != kEmpty) slot = (slot + 1) & (slots_.size() - 1);
      slots_[slot] = static_cast<uint32_t>(number);
    }
  }

  std::vector<uint32_t> slots_;  // entry numbers
  std::vector<std::unique_ptr<uint32_t[]>> blocks_;
  int64_t size_ = 0;
};

}  // namespace provis::text

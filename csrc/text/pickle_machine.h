// The stack, the marks and the memo of a pickle, without its objects: how large they would be, and
// what they would cost to walk. Operations refuse what passes the limits.
#pragma once

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace provis::text {

// Memory that Python takes for objects, roughly and from above, in bytes.
inline constexpr uint64_t kNumber = 32, kText = 64, kTuple = 48, kList = 64, kDict = 72, kSet = 224;
inline constexpr uint64_t kCallResult = 256, kPointer = 8;
// A pickle of plain data unpacks to a few times its size; short words and small numbers to more.
inline constexpr uint64_t kMemoryPerByte = 24, kMemoryAtLeast = 64ull << 20;
// Steps to walk all that is put on the stack, tuples to their leaves.
inline constexpr uint64_t kStepsPerByte = 64, kStepsAtLeast = 1ull << 20;
// Keys that are neither text nor numbers of 64 bits may have been made to have one hash, and then
// cost as many comparisons as the square of their number.
inline constexpr uint64_t kOddKeys = 4000;
// Longer numbers are of no use, and their conversion to text is quadratic.
inline constexpr uint64_t kLongestNumber = 1024, kWordBytes = 8;
inline constexpr uint64_t kLongestName = 1024;

struct Refused : std::runtime_error {
  using std::runtime_error::runtime_error;
};

struct Item {
  uint64_t steps = 1;  // to walk it to its leaves; what can still change counts as one
  bool odd = false;    // as a key
};

inline constexpr Item kAbsent{0, false};

class PickleMachine {
 public:
  // `size`: bytes of the pickle, on which the limits depend.
  explicit PickleMachine(uint64_t size) : size_(size) {}

 protected:
  void charge(uint64_t memory) {
    memory_ += memory;
    if (memory_ > kMemoryPerByte * size_ + kMemoryAtLeast) {
      throw Refused("it unpacks to far more than its " + std::to_string(size_) + " bytes");
    }
  }

  void push(Item item, uint64_t memory) {
    charge(memory + kPointer);
    steps_ += item.steps;
    if (item.steps > kStepsPerByte * size_ + kStepsAtLeast ||
        steps_ > kStepsPerByte * size_ + kStepsAtLeast) {
      throw Refused("it repeats itself through nested tuples");
    }
    stack_.push_back(item);
  }

  void push_number(uint64_t bytes) {
    if (bytes > kLongestNumber) {
      throw Refused("it has a number of " + std::to_string(bytes) + " bytes");
    }
    push({1, bytes > kWordBytes}, kNumber + bytes);
  }

  // Numbers as text; a 64-bit one has up to 20 digits, and there are a sign and an L.
  void push_number_text(std::string_view digits) {
    push_number(digits.size() <= 22 ? kWordBytes : digits.size());
  }

  void push_text(std::string_view text) { push({}, kText + text.size()); }

  Item pop() {
    const size_t floor = marks_.empty() ? 0 : marks_.back();
    if (stack_.size() <= floor) throw Refused("it takes from an empty stack");
    const Item item = stack_.back();
    stack_.pop_back();
    return item;
  }

  size_t pop_mark() {
    if (marks_.empty()) throw Refused("it closes what it has not opened");
    const size_t mark = marks_.back();
    marks_.pop_back();
    return mark;
  }

  void need_container() const {
    const size_t floor = marks_.empty() ? 0 : marks_.back();
    if (stack_.size() <= floor) throw Refused("it adds to nothing");
  }

  void push_tuple(size_t from) {
    Item tuple{1, true};
    for (size_t i = from; i < stack_.size(); ++i) {
      tuple.steps += stack_[i].steps;
      if (tuple.steps < stack_[i].steps) throw Refused("it repeats itself through nested tuples");
    }
    const uint64_t n = stack_.size() - from;
    stack_.resize(from);
    push(tuple, kTuple + kPointer * n);
  }

  void key(const Item& item) {
    if (item.odd && ++odd_keys_ > kOddKeys) {
      throw Refused("more than " + std::to_string(kOddKeys) +
                    " of its keys are neither text nor small numbers");
    }
  }

  // Keys among the items above `from`, every `step`-th; then the items are gone.
  void close_keys(size_t from, size_t step) {
    for (size_t i = from; i < stack_.size(); i += step) {
      key(stack_[i]);
      charge(kSet / 2);  // of the table
    }
    stack_.resize(from);
    need_container();
  }

  void put(uint64_t index) {
    need_container();
    // Picklers count from 0 or 1 without leaving any out.
    if (index > 2 * entries_ + 1024) {
      throw Refused("it names the memo's entry " + std::to_string(index) + " after " +
                    std::to_string(entries_));
    }
    charge(3 * kPointer);
    if (index >= memo_.size()) memo_.resize(index + 1, kAbsent);
    entries_ += memo_[index].steps == 0;
    memo_[index] = stack_.back();
  }

  void get(uint64_t index) {
    if (index >= memo_.size() || memo_[index].steps == 0) {
      throw Refused("it asks for the memo's entry " + std::to_string(index) +
                    ", which is not there");
    }
    push(memo_[index], 0);
  }

  uint64_t size_;
  std::vector<Item> stack_, memo_;
  std::vector<size_t> marks_;
  uint64_t memory_ = 0, steps_ = 0, odd_keys_ = 0;
  uint64_t entries_ = 0;  // of the memo that are there
};

}  // namespace provis::text

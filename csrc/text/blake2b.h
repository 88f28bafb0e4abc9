// BLAKE2b (RFC 7693) without a key, 16 bytes long: digests that tell proteins apart.
#pragma once

#include <cstddef>
#include <cstdint>

namespace provis::text {

// The 16 bytes as four words of 32 bits, the first byte in the lowest bits of the first word.
struct Digest {
  uint32_t words[4];
};

// The digest of `size` bytes; the same as Python's hashlib.blake2b(data, digest_size=16).
Digest blake2b(const void* data, size_t size);

}  // namespace provis::text

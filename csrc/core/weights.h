// Statistics weighted by attention, of one tile and of a block's rows and columns.
//
// Everything is added up in a fixed order in registers, or as integers (fixed_point.h), so that the
// bits do not depend on which warp comes first. Counters of the block, in shared memory: slot 0 the
// mass of all pairs, then the properties' slots, and behind them the entropy. While tiles are
// walked, the slot of a property's eligible pairs holds only those of no class; finish_mass()
// completes it.
#pragma once

#include "core/fixed_point.h"
#include "core/fragment.h"
#include "core/place.h"

namespace provis {

constexpr float kLeastLog = -200.0f;  // weights below e^-200 are zero, and so is their entropy

// Sums of a lane's two rows over the tiles so far.
struct RowTotals {
  double mass[2] = {0, 0};
  double entropy[2] = {0, 0};
};

// Turns x = log a into a, in place; adds -a log a of the rows where asked for.
template <bool kEntropy, class Gpu>
PROVIS_HD void weights_of(const Gpu& gpu, float (&values)[kLaneElements], RowTotals& totals) {
  float entropy[2] = {0, 0};
  PROVIS_UNROLL
  for (int e = 0; e < kLaneElements; ++e) {
    const float x = values[e];
    values[e] = gpu.exp2(x * kLog2E);
    if (kEntropy) {
      const float bounded = x < kLeastLog ? kLeastLog : x;
      entropy[(e >> 1) & 1] = gpu.fma(-values[e], bounded, entropy[(e >> 1) & 1]);
    }
  }
  if (kEntropy) {
    PROVIS_UNROLL
    for (int row = 0; row < 2; ++row) totals.entropy[row] += static_cast<double>(entropy[row]);
  }
}

static PROVIS_HD void add_row_masses(const float (&weights)[kLaneElements], RowTotals& totals) {
  PROVIS_UNROLL
  for (int row = 0; row < 2; ++row) {
    float sum = 0;
    PROVIS_UNROLL
    for (int n = 0; n < 8; ++n) sum += weights[4 * n + 2 * row] + weights[4 * n + 2 * row + 1];
    totals.mass[row] += static_cast<double>(sum);
  }
}

// Pairs whose bits are set, of rows i and i + 8.
template <class Gpu>
PROVIS_HD void add_pair_masses(const Gpu& gpu, const SequenceProperty& property, const Place& place,
                               const Counters& mass, const float (&weights)[kLaneElements], int i,
                               int first_key) {
  float known = 0, sum = 0;
  const int word = first_key >> 5;
  PROVIS_UNROLL
  for (int row = 0; row < 2; ++row) {
    uint64_t valid = 0, set = 0;
    const int64_t at = int64_t{i + 8 * row} * property.words + word;
    if (i + 8 * row < place.n) {
      valid = property.valid[at];
      set = property.set[at];
      if (word + 1 < property.words) {
        valid |= uint64_t{property.valid[at + 1]} << 32;
        set |= uint64_t{property.set[at + 1]} << 32;
      }
    }
    valid = lane_columns(valid, gpu.lane());
    set = valid & lane_columns(set, gpu.lane());
    PROVIS_UNROLL
    for (int n = 0; n < 8; ++n) {
      PROVIS_UNROLL
      for (int b = 0; b < 2; ++b) {
        const int e = 4 * n + 2 * row + b;
        if (has_column(valid, e)) known += weights[e];
        if (has_column(set, e)) sum += weights[e];
      }
    }
  }
  known = warp_sum(gpu, known);
  sum = warp_sum(gpu, sum);
  if (gpu.lane() == 0 && known > 0) {
    mass.add(gpu, property.channel, fine_of(known));
    mass.add(gpu, property.channel + 1, fine_of(sum));
  }
}

template <class Gpu>
PROVIS_HD void add_class_pair_masses(const Gpu& gpu, const SequenceProperty& property,
                                     const Place& place, const Counters& mass,
                                     const float (&weights)[kLaneElements], int i, int first_key) {
  int of_query[2];
  PROVIS_UNROLL
  for (int row = 0; row < 2; ++row) {
    of_query[row] = i + 8 * row < place.n ? property.labels[i + 8 * row] : -1;
  }
  PROVIS_UNROLL
  for (int c = 0; c < 16; ++c) {
    const int first = 4 * (c >> 1) + (c & 1);
    const int j = first_key + column_of_element(gpu.lane(), first);
    const int of_key = j < place.n ? property.labels[j] : -1;
    if (of_key < 0) continue;
    PROVIS_UNROLL
    for (int row = 0; row < 2; ++row) {
      const int64_t amount = fine_of(weights[first + 2 * row]);
      if (of_query[row] < 0 || amount == 0) continue;
      const bool classed = of_query[row] < property.side && of_key < property.side;
      mass.add(gpu, property.channel + (classed ? 1 + of_query[row] * property.side + of_key : 0),
               amount);
    }
  }
}

// Separations below the last bin's; finish_mass() takes the last bin from what is left of the mass.
// Of the two rows of a lane, product n + 1 of the second lies on the diagonal of product n of the
// first: 18 sums instead of 32.
template <class Gpu>
PROVIS_HD void add_separation_masses(const Gpu& gpu, const SequenceProperty& property,
                                     const Counters& mass, const float (&weights)[kLaneElements],
                                     int i, int first_key) {
  const int ahead = first_key - (i - (gpu.lane() >> 2));  // of the warp's first query
  const bool near = ahead < property.near + kWarpRows && -ahead < property.near + kTileKeys;
  if (!near) return;  // the whole warp
  PROVIS_UNROLL
  for (int n = -1; n < 8; ++n) {
    PROVIS_UNROLL
    for (int b = 0; b < 2; ++b) {
      float sum = n >= 0 ? weights[n >= 0 ? 4 * n + b : 0] : 0.0f;
      if (n < 7) sum += weights[n < 7 ? 4 * (n + 1) + 2 + b : 0];
      const int offset = first_key + 8 * n + 2 * (gpu.lane() & 3) + b - i;
      const int distance = offset < 0 ? -offset : offset;
      const int64_t amount = fine_of(sum);
      if (distance >= property.near || amount == 0) continue;
      mass.add(gpu, property.channel + 1 + bin_of_separation(property, distance), amount);
    }
  }
}

// What depends on pairs, of one tile. i: the query of the lane's first row.
template <class Gpu>
PROVIS_HD void add_tile_properties(const Gpu& gpu, const TwoPassCall& call, const Place& place,
                                   const Counters& mass, const float (&weights)[kLaneElements],
                                   int i, int first_key) {
  for (int p = 0; p < call.n_properties; ++p) {
    switch (call.properties[p].kind) {
      case PropertyKind::kPair:
        add_pair_masses(gpu, view_property(call, p, place), place, mass, weights, i, first_key);
        break;
      case PropertyKind::kClassPair:
        add_class_pair_masses(gpu, view_property(call, p, place), place, mass, weights, i,
                              first_key);
        break;
      case PropertyKind::kSeparation:
        add_separation_masses(gpu, view_property(call, p, place), mass, weights, i, first_key);
        break;
      default:
        break;
    }
  }
}

// Attention that one key received from the block's queries, and what follows from the key alone.
// Whole warps come here, for 32 keys each.
template <class Gpu>
PROVIS_HD void add_column(const Gpu& gpu, const TwoPassCall& call, const Place& place,
                          const Counters& mass, int j, double column) {
  const bool inside = j < place.n;
  const int64_t fixed = inside ? fixed_of(column) : 0;
  if (call.received != nullptr && fixed != 0) {
    gpu.add_global(call.received + place.head * call.tokens + place.begin + j, fixed);
  }
  if (call.mass == nullptr) return;
  for (int p = 0; p < call.n_properties; ++p) {
    const PropertyKind kind = call.properties[p].kind;
    if (kind == PropertyKind::kKeyClass) {
      const SequenceProperty property = view_property(call, p, place);
      const int label = inside ? property.labels[j] : -1;
      const int64_t amount = fine_of(column);
      if (label >= 0 && amount != 0) {
        mass.add(gpu, property.channel + (label < property.classes ? 1 + label : 0), amount);
      }
    } else if (kind == PropertyKind::kKeyValue) {
      const SequenceProperty property = view_property(call, p, place);
      const int64_t value = inside ? property.values[j] : kUnknownValue;
      const bool known = value != kUnknownValue;
      const int64_t weight = warp_sum(gpu, known ? fine_of(column) : int64_t{0});
      const int64_t sum = warp_sum(gpu, known ? weighted_value(fixed, value) : int64_t{0});
      if (gpu.lane() == 0) {
        mass.add(gpu, property.channel, weight);
        mass.add(gpu, property.channel + 1, sum);  // in units of 2^-32: values may be large
      }
    }
  }
}

// Mass, query classes and entropy of the lane's two rows, once all tiles are done.
template <class Gpu>
PROVIS_HD void add_rows(const Gpu& gpu, const TwoPassCall& call, const Place& place,
                        const Counters& mass, const RowTotals& totals, int i) {
  double sum[2], entropy[2];
  PROVIS_UNROLL
  for (int row = 0; row < 2; ++row) {
    sum[row] = row_sum(gpu, totals.mass[row]);
    entropy[row] = row_sum(gpu, totals.entropy[row]);
  }
  if ((gpu.lane() & 3) != 0) return;
  PROVIS_UNROLL
  for (int row = 0; row < 2; ++row) {
    if (i + 8 * row >= place.n) continue;
    // A log-sum-exp that is not the row's own would overflow the counters.
    if (!(sum[row] < 1.01)) {
      raise(gpu, call, place, kNotFinite);
      continue;
    }
    const int64_t amount = fine_of(sum[row]);
    mass.add(gpu, 0, amount);
    if (call.entropy != nullptr) mass.add(gpu, call.slots, fixed_of(entropy[row]));
    for (int p = 0; p < call.n_properties; ++p) {
      if (call.properties[p].kind != PropertyKind::kQueryClass) continue;
      const SequenceProperty property = view_property(call, p, place);
      const int label = property.labels[i + 8 * row];
      if (label < 0) continue;
      mass.add(gpu, property.channel + (label < property.classes ? 1 + label : 0), amount);
    }
  }
}

// Completes the slots of eligible pairs, and the last bin of separations. Between two barriers; a
// warp takes a property.
template <class Gpu>
PROVIS_HD void finish_mass(const Gpu& gpu, const TwoPassCall& call, const Place& place,
                           const Counters& mass) {
  for (int p = gpu.warp(); p < call.n_properties; p += kBlockWarps) {
    const PropertyTable& table = call.properties[p];
    if (table.kind == PropertyKind::kKeyValue || table.kind == PropertyKind::kPair) continue;
    int64_t classes = 0;
    for (int c = gpu.lane(); c < table.classes; c += 32) classes += mass.at(table.slot + 1 + c);
    classes = warp_sum(gpu, classes);
    if (gpu.lane() != 0) continue;
    if (table.kind == PropertyKind::kSeparation) {
      const bool has_far = place.n > call.bin_starts[call.n_bins - 1];
      const int64_t left = mass.at(0) - classes;
      const int64_t far = has_far && left > 0 ? left : 0;
      mass.add(gpu, table.slot + table.classes, far);
      classes += far;
    }
    mass.add(gpu, table.slot, classes);
  }
}

static PROVIS_HD bool is_value_sum(const TwoPassCall& call, int slot) {
  for (int p = 0; p < call.n_properties; ++p) {
    const PropertyTable& table = call.properties[p];
    if (table.kind == PropertyKind::kKeyValue && table.slot + 1 == slot) return true;
  }
  return false;
}

// Rounds what the block found and adds it to the accumulators.
template <class Gpu>
PROVIS_HD void flush_mass(const Gpu& gpu, const TwoPassCall& call, const Place& place,
                          const Counters& mass) {
  const int64_t cell = place.sequence * call.heads + place.head;
  for (int slot = gpu.thread(); slot <= call.slots; slot += kBlockThreads) {
    const int64_t found = mass.at(slot);
    if (found == 0) continue;
    if (slot == call.slots) {
      if (call.entropy != nullptr) gpu.add_global(call.entropy + cell, found);
      continue;
    }
    if (call.mass == nullptr || (slot == 0 && call.first_launch == 0)) continue;
    const int64_t fixed = is_value_sum(call, slot) ? found : fixed_of_fine(found);
    const int channel = slot == 0 ? 0 : slot + call.channel_offset;
    gpu.add_global(call.mass + cell * call.channels + channel, fixed);
  }
}

template <class Gpu>
PROVIS_HD void flush_arcs(const Gpu& gpu, const TwoPassCall& call, const Place& place,
                          const Counters& arcs) {
  for (int t = 0; t < call.n_thresholds; ++t) {
    const int64_t row = (place.sequence * call.n_thresholds + t) * call.heads + place.head;
    for (int slot = gpu.thread(); slot < call.slots; slot += kBlockThreads) {
      const int64_t found = arcs.at(t * call.slots + slot);
      if (found == 0 || (slot == 0 && call.first_launch == 0)) continue;
      const int channel = slot == 0 ? 0 : slot + call.channel_offset;
      gpu.add_global(call.arc_counts + row * call.channels + channel, found);
    }
  }
}

}  // namespace provis

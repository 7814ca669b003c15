//! Which shard is home to a group: a pure function of its number and of how many shards there are.

use crate::ids::GroupId;
use crate::ids::ShardId;

/// The home shard of `group` among `workers` shards.
///
/// Folding the high bytes into the low one leaves small consecutive numbers as they are, so a handful of
/// groups 0, 1, 2, ... spreads evenly, and numbers that differ only in high bits do not all meet in one place.
#[must_use]
pub fn home(group: GroupId, workers: usize) -> ShardId {
    let mut folded = group.number();
    folded ^= folded >> 32;
    folded ^= folded >> 16;
    folded ^= folded >> 8;
    let index = folded % workers as u64;
    ShardId(u16::try_from(index).expect("there are at most WORKERS_MAX shards"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[track_caller]
    fn check_spread(groups: impl Iterator<Item = u64>, workers: usize, at_most: usize) {
        let mut counts = BTreeMap::new();
        for number in groups {
            let group = GroupId::new(number).unwrap();
            *counts.entry(home(group, workers)).or_insert(0usize) += 1;
        }
        assert!(counts.values().all(|count| *count <= at_most), "{counts:?}");
    }

    #[test]
    fn consecutive_groups_spread_evenly() {
        check_spread(0..8, 4, 2);
        check_spread(1..=10, 2, 5);
    }

    #[test]
    fn groups_that_differ_in_high_bits_do_not_meet() {
        check_spread((0..64).map(|n| n << 8), 4, 16);
        check_spread((0..64).map(|n| n << 32), 4, 16);
    }
}

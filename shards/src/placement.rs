//! Which shard and which slot a user belongs to.
//!
//! A shard is a run-time fact (it may change at every start); a slot is on disk, so the hash is written out here and
//! stays as it is for ever: XXH64 of the UTF-8 user id with seed 0. The shard takes its upper 32 bits, the slot its
//! lower 32, each scaled to the count by multiplication, so that the two are independent.

const PRIME_1: u64 = 0x9E37_79B1_85EB_CA87;
const PRIME_2: u64 = 0xC2B2_AE3D_27D4_EB4F;
const PRIME_3: u64 = 0x1656_67B1_9E37_79F9;
const PRIME_4: u64 = 0x85EB_CA77_C2B2_AE63;
const PRIME_5: u64 = 0x27D4_EB2F_1656_67C5;
const LOWER_HALF: u64 = 0xFFFF_FFFF;

/// The shard that owns the user, below `shards` (0 when `shards` is 0).
pub fn shard_of(user_id: &str, shards: usize) -> usize {
    let count = u64::try_from(shards).unwrap_or(u64::MAX);
    let scaled = scale(xxh64(user_id.as_bytes()) >> 32, count.min(LOWER_HALF));
    usize::try_from(scaled).unwrap_or(0)
}

/// The slot that keeps the user's data, below `slots` (0 when `slots` is 0).
pub fn slot_of(user_id: &str, slots: u16) -> u16 {
    let scaled = scale(xxh64(user_id.as_bytes()) & LOWER_HALF, u64::from(slots));
    u16::try_from(scaled).unwrap_or(0)
}

/// Maps 32 bits evenly onto `0..count`.
fn scale(bits: u64, count: u64) -> u64 {
    (bits * count) >> 32
}

/// XXH64 with seed 0, as published (xxHash specification 0.1.1, section "XXH64 algorithm").
fn xxh64(bytes: &[u8]) -> u64 {
    let (stripes, rest) = bytes.as_chunks::<32>();
    let mut hash = match stripes {
        [] => PRIME_5,
        _ => stripes_hash(stripes),
    };
    hash = hash.wrapping_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
    avalanche(tail_hash(hash, rest))
}

fn stripes_hash(stripes: &[[u8; 32]]) -> u64 {
    let mut lanes = [PRIME_1.wrapping_add(PRIME_2), PRIME_2, 0, 0_u64.wrapping_sub(PRIME_1)];
    for stripe in stripes {
        let (words, _) = stripe.as_chunks::<8>();
        for (lane, word) in lanes.iter_mut().zip(words) {
            *lane = round(*lane, u64::from_le_bytes(*word));
        }
    }
    let turns = [1, 7, 12, 18];
    let hash = lanes.iter().zip(turns).fold(0_u64, |sum, (lane, turn)| sum.wrapping_add(lane.rotate_left(turn)));
    lanes.iter().fold(hash, |hash, lane| (hash ^ round(0, *lane)).wrapping_mul(PRIME_1).wrapping_add(PRIME_4))
}

fn tail_hash(mut hash: u64, rest: &[u8]) -> u64 {
    let (words, rest) = rest.as_chunks::<8>();
    for word in words {
        hash ^= round(0, u64::from_le_bytes(*word));
        hash = hash.rotate_left(27).wrapping_mul(PRIME_1).wrapping_add(PRIME_4);
    }
    let (halves, rest) = rest.as_chunks::<4>();
    for half in halves {
        hash ^= u64::from(u32::from_le_bytes(*half)).wrapping_mul(PRIME_1);
        hash = hash.rotate_left(23).wrapping_mul(PRIME_2).wrapping_add(PRIME_3);
    }
    for byte in rest {
        hash ^= u64::from(*byte).wrapping_mul(PRIME_5);
        hash = hash.rotate_left(11).wrapping_mul(PRIME_1);
    }
    hash
}

fn round(lane: u64, word: u64) -> u64 {
    lane.wrapping_add(word.wrapping_mul(PRIME_2)).rotate_left(31).wrapping_mul(PRIME_1)
}

fn avalanche(mut hash: u64) -> u64 {
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(PRIME_2);
    hash ^= hash >> 29;
    hash = hash.wrapping_mul(PRIME_3);
    hash ^ (hash >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_the_published_one() {
        assert_eq!(xxh64(b""), 0xEF46_DB37_51D8_E999);
        assert_eq!(xxh64(b"a"), 0xD24E_C4F1_A98C_6E5B);
        assert_eq!(xxh64(b"abc"), 0x44BC_2CF5_AD77_0999);
        assert_eq!(xxh64(b"Nobody inspects the spammish repetition"), 0xFBCE_A83C_8A37_8BF1);
    }

    #[test]
    fn every_place_is_below_its_count_and_users_spread_evenly() {
        let mut by_shard = [0_usize; 8];
        let mut by_slot = [0_usize; 4];
        let mut together = [0_usize; 32];
        for number in 0..32_000 {
            let user = format!("cuser{number:020}");
            let (shard, slot) = (shard_of(&user, 8), usize::from(slot_of(&user, 4)));
            by_shard[shard] += 1;
            by_slot[slot] += 1;
            together[shard * 4 + slot] += 1;
        }
        assert!(by_shard.iter().all(|count| (3600..4400).contains(count)), "{by_shard:?}");
        assert!(by_slot.iter().all(|count| (7500..8500).contains(count)), "{by_slot:?}");
        assert!(together.iter().all(|count| (800..1200).contains(count)), "{together:?}");
    }

    #[test]
    fn a_slot_never_moves() {
        // Written down on 22 November 2026; a change here loses every data folder.
        let slots = ["", "u", "cjzv8j9ij000m0fvz9fn1cnxr", "ckd0br26e00075spv7hkb6bgd"].map(|user| slot_of(user, 64));
        assert_eq!(slots, [20, 41, 19, 53]);
    }

    #[test]
    fn no_shard_and_no_slot_is_place_zero() {
        assert_eq!(shard_of("anyone", 0), 0);
        assert_eq!(slot_of("anyone", 0), 0);
        assert_eq!(shard_of("anyone", 1), 0);
    }
}

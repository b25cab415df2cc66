//! The compression function against the `sha1` crate, and its forms against each other.

use std::hint::black_box;
use std::time::Instant;

use proptest::array::uniform4;
use proptest::collection::vec;
use proptest::prelude::{any, prop_assert_eq, proptest};
use sha1::{Digest as _, Sha1};

use super::{IV, Schedule, compress, compress4, compress4_same, compress4_scalar, words4};

/// The message, padded as FIPS 180-4 has it, in blocks of 16 words.
fn blocks(message: &[u8]) -> Vec<[u32; 16]> {
    let mut padded = message.to_vec();
    padded.push(0x80);
    padded.resize((message.len() + 9).next_multiple_of(64) - 8, 0);
    padded.extend((message.len() as u64 * 8).to_be_bytes());
    let words: Vec<u32> = padded
        .chunks(4)
        .map(|word| u32::from_be_bytes(word.try_into().unwrap()))
        .collect();
    words.chunks(16).map(|block| block.try_into().unwrap()).collect()
}

fn bytes(state: [u32; 5]) -> Vec<u8> {
    state.iter().flat_map(|word| word.to_be_bytes()).collect()
}

fn lane(state: &[[u32; 4]; 5], lane: usize) -> [u32; 5] {
    state.map(|word| word[lane])
}

fn transposed(lanes: &[[u32; 16]; 4]) -> [[u32; 4]; 16] {
    std::array::from_fn(|word| std::array::from_fn(|lane| lanes[lane][word]))
}

#[test]
fn the_three_letters_of_the_standard_give_its_digest() {
    let mut state = IV;
    compress(&mut state, &blocks(b"abc")[0]);
    assert_eq!(state, [0xa999_3e36, 0x4706_816a, 0xba3e_2571, 0x7850_c26c, 0x9cd0_d89d]);
}

proptest! {
    #[test]
    fn messages_of_any_length_give_the_digests_of_another_implementation(message in vec(any::<u8>(), 0..300)) {
        let mut state = IV;
        for block in blocks(&message) {
            compress(&mut state, &block);
        }
        prop_assert_eq!(bytes(state), Sha1::digest(&message).to_vec());
    }

    #[test]
    fn four_messages_at_a_time_give_the_same_as_each_alone(messages in uniform4(vec(any::<u8>(), 119))) {
        let lanes = messages.clone().map(|message| blocks(&message));
        let (mut vectors, mut scalars) = (IV.map(|word| [word; 4]), IV.map(|word| [word; 4]));
        for blocks in [lanes.each_ref().map(|lane| lane[0]), lanes.each_ref().map(|lane| lane[1])] {
            compress4(&mut vectors, &transposed(&blocks));
            compress4_scalar(&mut scalars, &transposed(&blocks));
        }
        for (index, message) in messages.iter().enumerate() {
            prop_assert_eq!(bytes(lane(&vectors, index)), Sha1::digest(message).to_vec());
        }
        prop_assert_eq!(vectors, scalars);
    }

    #[test]
    fn any_states_and_blocks_go_the_same_way_through_both_forms(
        states in proptest::array::uniform5(any::<[u32; 4]>()),
        block in proptest::array::uniform16(any::<[u32; 4]>()),
    ) {
        let (mut vectors, mut scalars) = (states, states);
        compress4(&mut vectors, &block);
        compress4_scalar(&mut scalars, &block);
        prop_assert_eq!(vectors, scalars);
    }

    #[test]
    fn words_of_four_blocks_are_those_of_each(blocks in uniform4(vec(any::<u8>(), 64))) {
        let lanes = blocks.each_ref().map(|block| <&[u8; 64]>::try_from(block.as_slice()).unwrap());
        let words = words4(lanes);
        for (lane, block) in lanes.iter().enumerate() {
            for (word, bytes) in block.chunks(4).enumerate() {
                prop_assert_eq!(words[word][lane].to_be_bytes(), bytes);
            }
        }
    }

    #[test]
    fn a_block_scheduled_before_gives_the_same_in_all_four_lanes(
        states in proptest::array::uniform5(any::<[u32; 4]>()),
        block in any::<[u32; 16]>(),
    ) {
        let (mut scheduled, mut vectors) = (states, states);
        compress4_same(&mut scheduled, &Schedule::of(&block));
        compress4(&mut vectors, &block.map(|word| [word; 4]));
        prop_assert_eq!(scheduled, vectors);
    }
}

/// Prints millions of messages of two blocks a second, for each form.
#[test]
#[ignore = "a measurement"]
fn how_fast_two_blocks_are() {
    const ROUNDS: u32 = 500_000;
    let first: [u32; 16] = blocks(&[b'x'; 60])[0];
    let block = first.map(|word| [word; 4]);
    let schedule = Schedule::of(&first);
    let measure = |name: &str, form: &dyn Fn(&mut [[u32; 4]; 5])| {
        let mut states = IV.map(|word| [word; 4]);
        let start = Instant::now();
        for _ in 0..ROUNDS {
            form(&mut states);
        }
        black_box(states);
        println!(
            "{name}: {:.1} M/s",
            f64::from(4 * ROUNDS) / start.elapsed().as_secs_f64() / 1e6
        );
    };
    measure("four at a time", &|states| {
        compress4(states, black_box(&block));
        compress4(states, black_box(&block));
    });
    measure("four at a time, the second block shared", &|states| {
        compress4(states, black_box(&block));
        compress4_same(states, black_box(&schedule));
    });
    measure("one at a time", &|states| {
        compress4_scalar(states, black_box(&block));
        compress4_scalar(states, black_box(&block));
    });
}

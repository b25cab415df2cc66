//! The ids of a batch: four names at a time through SHA-1.

use kinetic_sha1::{IV, Schedule, compress, compress4, compress4_same, words4};

use crate::id::Id;
use crate::name::{BLOCK_BYTES, LANE_BLOCKS_MAX, LENGTH_BYTES, Lane, Names, blocks_of};
use crate::scheme::NAMESPACE_BYTES;

/// The ids of the first `rows` rows, and the rows whose names are too long to have one.
pub(crate) fn ids(names: &Names<'_>, rows: usize) -> (Vec<Id>, Vec<usize>) {
    let mut ids = Vec::with_capacity(rows);
    let mut too_long = Vec::new();
    let mut lanes = [const { Lane::new() }; 4];
    while ids.len() + lanes.len() <= rows {
        let row = ids.len();
        let messages_bytes = names.write(row, &mut lanes);
        let mut made = four(&mut lanes, messages_bytes);
        for (row, (id, bytes)) in (row..).zip(made.iter_mut().zip(messages_bytes)) {
            if blocks_of(bytes) > LANE_BLOCKS_MAX {
                *id = alone(names, row, &mut too_long);
            }
        }
        ids.extend(made);
    }
    for row in ids.len()..rows {
        ids.push(alone(names, row, &mut too_long));
    }
    (ids, too_long)
}

/// The shortest message whose padding needs a second block to itself, in bytes.
const SHARED_BYTES_MIN: usize = BLOCK_BYTES - LENGTH_BYTES;

/// The second blocks of messages of 56 to 64 bytes. They hold nothing of the name, so their schedules are made once.
static SHARED: [Schedule; 9] = [
    second_block(56),
    second_block(57),
    second_block(58),
    second_block(59),
    second_block(60),
    second_block(61),
    second_block(62),
    second_block(63),
    second_block(64),
];

const fn second_block(message_bytes: u32) -> Schedule {
    // What ends a message of a whole block has no place in the first.
    let end = if message_bytes == 64 { 0x8000_0000 } else { 0 };
    Schedule::of(&[end, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, message_bytes * 8])
}

/// The second block of four messages, if they share it.
fn shared([first, others @ ..]: [usize; 4]) -> Option<&'static Schedule> {
    SHARED
        .get(first.checked_sub(SHARED_BYTES_MIN)?)
        .filter(|_| others == [first; 3])
}

/// The ids of four messages of so many bytes each; anything for one that is longer than a lane.
#[cfg_attr(target_arch = "wasm32", target_feature(enable = "simd128"))]
fn four(lanes: &mut [Lane; 4], messages_bytes: [usize; 4]) -> [Id; 4] {
    let mut states = IV.map(|word| [word; 4]);
    if let Some(second) = shared(messages_bytes) {
        for (lane, message_bytes) in lanes.iter_mut().zip(messages_bytes) {
            lane.pad_first_block(message_bytes);
        }
        let [a, b, c, d] = lanes;
        let blocks = [a.first_block(), b.first_block(), c.first_block(), d.first_block()];
        compress4(&mut states, &words4(blocks));
        compress4_same(&mut states, second);
        return version_five(&states);
    }
    for (lane, message_bytes) in lanes.iter_mut().zip(messages_bytes) {
        lane.pad(message_bytes);
    }
    let mut ids = [Id::default(); 4];
    let blocks_of_each = messages_bytes.map(blocks_of);
    let blocks_max = blocks_of_each.into_iter().fold(0, usize::max);
    let [a, b, c, d] = lanes;
    let blocks = a.blocks().iter().zip(b.blocks()).zip(c.blocks()).zip(d.blocks());
    for ((((a, b), c), d), block) in blocks.zip(1..=blocks_max) {
        compress4(&mut states, &words4([a, b, c, d]));
        if blocks_of_each.contains(&block) {
            let ended = version_five(&states);
            for ((id, ended), blocks) in ids.iter_mut().zip(ended).zip(blocks_of_each) {
                if blocks == block {
                    *id = ended;
                }
            }
        }
    }
    ids
}

fn version_five([a, b, c, d, _]: &[[u32; 4]; 5]) -> [Id; 4] {
    let [[a0, a1, a2, a3], [b0, b1, b2, b3], [c0, c1, c2, c3], [d0, d1, d2, d3]] = [*a, *b, *c, *d];
    [
        Id::version_five([a0, b0, c0, d0]),
        Id::version_five([a1, b1, c1, d1]),
        Id::version_five([a2, b2, c2, d2]),
        Id::version_five([a3, b3, c3, d3]),
    ]
}

/// The id of a row's name of any length; the row is added to those that are too long if it has none.
#[cold]
fn alone(names: &Names<'_>, row: usize, too_long: &mut Vec<usize>) -> Id {
    let Some(name) = names.whole(row) else {
        too_long.push(row);
        return Id::default();
    };
    let mut message = [NAMESPACE_BYTES.as_slice(), &name].concat();
    let bits = message.len() as u64 * 8;
    message.push(0x80);
    message.resize(
        (message.len() + LENGTH_BYTES).next_multiple_of(BLOCK_BYTES) - LENGTH_BYTES,
        0,
    );
    message.extend(bits.to_be_bytes());
    let mut state = IV;
    for block in message.as_chunks::<BLOCK_BYTES>().0 {
        let mut words = [0; 16];
        for (word, bytes) in words.iter_mut().zip(block.as_chunks().0) {
            *word = u32::from_be_bytes(*bytes);
        }
        compress(&mut state, &words);
    }
    let [a, b, c, d, _] = state;
    Id::version_five([a, b, c, d])
}

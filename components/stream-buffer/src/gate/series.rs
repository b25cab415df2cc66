//! Events of one stream and one token whose numbers follow one another, as a flood of them mostly comes.
//!
//! The words SHA-1 makes of a block for its rounds are sums without carry of what each bit of the block gives to them. So
//! what the last two digits give is found out once, and of each hundred messages only one goes through the schedule.

use super::rounds::{ROUNDS, first_words, keyed, schedule, sums};
use super::vector::{Four, four};
use super::{LANES, Level, Message};
use crate::decimal::{DIGITS_MAX, Decimal};
use crate::digest::MESSAGE_BYTES_ONE_BLOCK;

/// Numbers below are not all of the same length as the others of their hundred.
const INDEX_MIN: u64 = 100;
/// Quads in twenty numbers, and twenties in a hundred.
const QUADS: usize = 5;
const TWENTIES: usize = 5;
/// The word of a block that holds the message's length.
const LENGTH_WORD: usize = 15;

/// The words of all rounds, for four messages.
type Words = [Four; ROUNDS];
/// A block of each of four messages.
type Blocks = [[u32; LANES]; 16];

/// What is kept from one series to the next, and from one hundred to the next.
#[derive(Debug)]
pub(crate) struct Series {
    /// Where in the block the last digit is of which the next two are.
    last_digit: Option<usize>,
    /// What the last digits of four numbers each give to the words, for twenty numbers: the last digit and the lowest bit
    /// of the one before it.
    quads: [Words; QUADS],
    /// What the rest of the last digit but one gives.
    twenties: [Words; TWENTIES],
    /// Which hundred of the series is at work, and its words but for what its last two digits give.
    hundred: Option<u64>,
    hundred_words: Words,
    /// Which twenty, and its words but for what its quads give.
    twenty: Option<u64>,
    twenty_words: Words,
    /// The words of the next rounds, each with its round's constant.
    keyed: [[Four; 2]; ROUNDS],
    decimal: Decimal,
}

impl Series {
    pub(crate) fn new() -> Self {
        let none = four([0; LANES]);
        Self {
            last_digit: None,
            quads: [[none; ROUNDS]; QUADS],
            twenties: [[none; ROUNDS]; TWENTIES],
            hundred: None,
            hundred_words: [none; ROUNDS],
            twenty: None,
            twenty_words: [none; ROUNDS],
            keyed: [[none; 2]; ROUNDS],
            decimal: Decimal::default(),
        }
    }

    /// Decides about a message and those that are the same but for their numbers, which follow: as many as there are
    /// flags. None if these are not for here; flags may have been set then, and mean nothing.
    pub(crate) fn decide(&mut self, first: &Message<'_>, level: Level, dropped: &mut [bool]) -> Option<()> {
        let after_first = (dropped.len() as u64).checked_sub(1)?;
        let last_quad = first.index.checked_add(after_first)? / LANES as u64;
        if first.index < INDEX_MIN {
            return None;
        }
        (self.hundred, self.twenty) = (None, None);
        let mut quad = first.index / LANES as u64;
        let mut before = usize::try_from(first.index % LANES as u64).ok()?;
        let mut rest = dropped;
        while !rest.is_empty() {
            self.fill::<0>(quad, first)?;
            self.fill::<1>(last_quad.min(quad + 1), first)?;
            let values = first_words(&mut self.keyed);
            let values = values.as_flattened().get(before..)?;
            let (flags, behind) = rest.split_at_mut(values.len().min(rest.len()));
            for (dropped, value) in flags.iter_mut().zip(values) {
                *dropped = level.drops(*value);
            }
            (rest, before, quad) = (behind, 0, quad + 2);
        }
        Some(())
    }

    /// Sets one side of what is hashed next to the words of a quad.
    fn fill<const SIDE: usize>(&mut self, quad: u64, message: &Message<'_>) -> Option<()> {
        let twenty = quad / QUADS as u64;
        let place = usize::try_from(quad % QUADS as u64).ok()?;
        if self.twenty != Some(twenty) {
            self.begin_twenty(twenty, message)?;
        }
        keyed::<SIDE>(&mut self.keyed, &self.twenty_words, self.quads.get(place)?);
        Some(())
    }

    fn begin_twenty(&mut self, twenty: u64, message: &Message<'_>) -> Option<()> {
        let hundred = twenty / TWENTIES as u64;
        let place = usize::try_from(twenty % TWENTIES as u64).ok()?;
        if self.hundred != Some(hundred) {
            self.begin_hundred(hundred, message)?;
        }
        sums(&mut self.twenty_words, &self.hundred_words, self.twenties.get(place)?);
        self.twenty = Some(twenty);
        Some(())
    }

    #[inline(never)]
    fn begin_hundred(&mut self, hundred: u64, message: &Message<'_>) -> Option<()> {
        self.decimal.set(hundred * 100);
        let mut digits = [0; DIGITS_MAX];
        self.decimal.write(&mut digits)?;
        let digits = digits.get(..self.decimal.length())?;
        let length = message.salt.len() + digits.len() + 1 + message.token.len();
        if length > MESSAGE_BYTES_ONE_BLOCK {
            return None;
        }
        let bytes = message.salt.iter().chain(digits).chain(b":").chain(message.token);
        let mut blocks = Blocks::default();
        for (place, byte) in bytes.chain(&[0x80]).enumerate() {
            put(&mut blocks, place, [*byte; LANES]);
        }
        blocks[LENGTH_WORD] = [u32::try_from(8 * length).ok()?; LANES];
        schedule(&blocks, &mut self.hundred_words);
        let last_digit = message.salt.len() + digits.len() - 1;
        if self.last_digit != Some(last_digit) {
            self.begin_place(last_digit);
        }
        self.hundred = Some(hundred);
        Some(())
    }

    fn begin_place(&mut self, last_digit: usize) {
        for (quad, words) in (0..).step_by(LANES).zip(&mut self.quads) {
            let mut blocks = Blocks::default();
            let numbers = [quad, quad + 1, quad + 2, quad + 3];
            put(&mut blocks, last_digit, numbers.map(|number| number % 10));
            put(&mut blocks, last_digit - 1, numbers.map(|number| number / 10));
            schedule(&blocks, words);
        }
        for (digit, words) in (0..).step_by(2).zip(&mut self.twenties) {
            let mut blocks = Blocks::default();
            put(&mut blocks, last_digit - 1, [digit; LANES]);
            schedule(&blocks, words);
        }
        self.last_digit = Some(last_digit);
    }
}

/// Sets bits of a byte of each block.
fn put(blocks: &mut Blocks, place: usize, bytes: [u8; LANES]) {
    if let Some(words) = blocks.get_mut(place / 4) {
        for (word, byte) in words.iter_mut().zip(bytes) {
            *word |= u32::from(byte) << (24 - 8 * (place % 4));
        }
    }
}

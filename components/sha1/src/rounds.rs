//! The 80 rounds of SHA-1 (FIPS 180-4), unrolled: every index is a constant, so the words stay in registers.

/// What is added in rounds 0 to 19, 20 to 39, 40 to 59 and 60 to 79.
pub(crate) const K: [u32; 4] = [0x5a82_7999, 0x6ed9_eba1, 0x8f1b_bcdc, 0xca62_c1d6];

/// Takes each bit of `c` where `b` has a one, of `d` elsewhere.
#[inline]
pub(crate) fn choose(b: u32, c: u32, d: u32) -> u32 {
    d ^ (b & (c ^ d))
}

/// The sum of each bit, without carry.
#[inline]
pub(crate) fn parity(b: u32, c: u32, d: u32) -> u32 {
    b ^ c ^ d
}

/// What at least two of three say.
#[inline]
pub(crate) fn majority(b: u32, c: u32, d: u32) -> u32 {
    (b & c) | (d & (b ^ c))
}

/// All rounds over `$state`; `$keyed!(round)` is a round's word with its constant.
macro_rules! rounds {
    ($state:expr, $keyed:ident) => {{
        let [h0, h1, h2, h3, h4]: [u32; 5] = $state;
        let (mut a, mut b, mut c, mut d, mut e) = (h0, h1, h2, h3, h4);
        $crate::rounds::twenty!(choose, 0, $keyed, a, b, c, d, e);
        $crate::rounds::twenty!(parity, 20, $keyed, a, b, c, d, e);
        $crate::rounds::twenty!(majority, 40, $keyed, a, b, c, d, e);
        $crate::rounds::twenty!(parity, 60, $keyed, a, b, c, d, e);
        [
            h0.wrapping_add(a),
            h1.wrapping_add(b),
            h2.wrapping_add(c),
            h3.wrapping_add(d),
            h4.wrapping_add(e),
        ]
    }};
}

/// Twenty rounds with one function, from round `$from` on.
macro_rules! twenty {
    ($mix:ident, $from:literal, $keyed:ident, $a:ident, $b:ident, $c:ident, $d:ident, $e:ident) => {
        $crate::rounds::five!($mix, $from, $keyed, $a, $b, $c, $d, $e);
        $crate::rounds::five!($mix, $from + 5, $keyed, $a, $b, $c, $d, $e);
        $crate::rounds::five!($mix, $from + 10, $keyed, $a, $b, $c, $d, $e);
        $crate::rounds::five!($mix, $from + 15, $keyed, $a, $b, $c, $d, $e);
    };
}

/// Five rounds: after them each variable has its old part again, so that nothing moves.
macro_rules! five {
    ($mix:ident, $from:expr, $keyed:ident, $a:ident, $b:ident, $c:ident, $d:ident, $e:ident) => {
        $crate::rounds::one!($mix, $from, $keyed, $a, $b, $c, $d, $e);
        $crate::rounds::one!($mix, $from + 1, $keyed, $e, $a, $b, $c, $d);
        $crate::rounds::one!($mix, $from + 2, $keyed, $d, $e, $a, $b, $c);
        $crate::rounds::one!($mix, $from + 3, $keyed, $c, $d, $e, $a, $b);
        $crate::rounds::one!($mix, $from + 4, $keyed, $b, $c, $d, $e, $a);
    };
}

/// One round. What waits for `$a`, the newest, comes last.
macro_rules! one {
    ($mix:ident, $round:expr, $keyed:ident, $a:ident, $b:ident, $c:ident, $d:ident, $e:ident) => {
        $e = $e
            .wrapping_add($keyed!($round))
            .wrapping_add($crate::rounds::$mix($b, $c, $d))
            .wrapping_add($a.rotate_left(5));
        $b = $b.rotate_left(30);
    };
}

/// A round's word with its constant. Each word after the first sixteen is made of four before it; `$w` holds the last
/// sixteen.
macro_rules! scheduled {
    ($w:ident, $round:expr) => {{
        if $round >= 16 {
            $w[$round % 16] =
                ($w[($round + 13) % 16] ^ $w[($round + 8) % 16] ^ $w[($round + 2) % 16] ^ $w[$round % 16])
                    .rotate_left(1);
        }
        $w[$round % 16].wrapping_add($crate::rounds::K[$round / 20])
    }};
}

pub(crate) use {five, one, rounds, scheduled, twenty};

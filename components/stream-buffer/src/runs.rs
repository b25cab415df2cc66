//! Where neighbouring events are of one stream, as most are: a stream is looked up once for all of them.

use crate::events::Events;

/// Rows looked at one by one before whole stretches are compared.
const STRETCH_ROWS_MIN: usize = 4;

/// Neighbouring events of one stream: the rows from `start` to before `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) stream: usize,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

impl Run {
    /// What of it lies between two rows.
    pub(crate) fn within(self, start: usize, end: usize) -> Self {
        Self {
            start: self.start.max(start),
            end: self.end.min(end),
            ..self
        }
    }
}

/// The row after the last that follows `start` with the same stream.
pub(crate) fn end_of_run(events: &Events<'_>, start: usize) -> usize {
    let name = events.stream(start);
    let mut end = start + 1;
    while end < events.count() && end < start + STRETCH_ROWS_MIN {
        if events.stream(end) != name {
            return end;
        }
        end += 1;
    }
    // Stretches double, so that the work is in proportion to the run whatever follows it.
    let mut stretch = STRETCH_ROWS_MIN;
    while end < events.count() {
        let to = (end + stretch).min(events.count());
        if repeats(events, name, end, to) {
            end = to;
            stretch *= 2;
            continue;
        }
        while end < to && events.stream(end) == name {
            end += 1;
        }
        return end;
    }
    end
}

/// Whether all rows from one to before another have this name.
fn repeats(events: &Events<'_>, name: &[u8], from: usize, to: usize) -> bool {
    let offsets = events.streams.value_offsets();
    let (Some(offsets), Some(length)) = (offsets.get(from..=to), i32::try_from(name.len()).ok()) else {
        return false;
    };
    let same_length = offsets
        .iter()
        .zip(offsets.iter().skip(1))
        .fold(true, |same, (from, to)| same & (to.wrapping_sub(*from) == length));
    let (Some(first), Some(last)) = (offsets.first(), offsets.last()) else {
        return false;
    };
    // Names of one length lie side by side. They are all the same if the first is this one and the rest is what
    // stands one name before it.
    let bytes = first.cast_unsigned() as usize..last.cast_unsigned() as usize;
    let bytes = events.streams.value_data().get(bytes).unwrap_or_default();
    let (first, shifted) = bytes.split_at_checked(name.len()).unwrap_or_default();
    same_length && first == name && same(bytes.get(..shifted.len()).unwrap_or_default(), shifted)
}

/// Equality of long texts, eight bytes at a time: what compares slices elsewhere goes byte by byte on wasm32.
fn same(left: &[u8], right: &[u8]) -> bool {
    let ((left, left_tail), (right, right_tail)) = (left.as_chunks::<8>(), right.as_chunks::<8>());
    let differs = |(left, right): (&[u8; 8], &[u8; 8])| u64::from_ne_bytes(*left) ^ u64::from_ne_bytes(*right);
    left_tail == right_tail
        && left
            .iter()
            .zip(right)
            .map(differs)
            .fold(0, |all, differs| all | differs)
            == 0
}

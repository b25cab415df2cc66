//! Memory of one call: every linear memory and table of a store summed against one limit.

use wasmtime::{ResourceLimiter, Result};

/// Bytes one table element is charged: what it takes in the host.
const TABLE_ELEMENT_BYTES: usize = 16;
/// Core instances, memories and tables one component may have; the pool is sized for these.
pub(crate) const CORE_INSTANCES_MAX: u32 = 32;
pub(crate) const MEMORIES_MAX: u32 = 4;
pub(crate) const TABLES_MAX: u32 = 8;

/// Sums what a store holds. Wasmtime's own limit counts each memory alone, so two of 0.6 of a limit would pass.
#[derive(Debug)]
pub(crate) struct MemoryMeter {
    bytes: usize,
    peak_bytes: usize,
    bytes_max: usize,
    refused: bool,
}

impl MemoryMeter {
    pub(crate) fn new(bytes_max: u64) -> Self {
        Self {
            bytes: 0,
            peak_bytes: 0,
            bytes_max: usize::try_from(bytes_max).unwrap_or(usize::MAX),
            refused: false,
        }
    }

    /// What the store holds, in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes as u64
    }

    /// The peak is that of the call that begins. What is held beyond a lowered limit stays; it grows no more.
    pub(crate) fn begin_call(&mut self, bytes_max: u64) {
        self.bytes_max = usize::try_from(bytes_max).unwrap_or(usize::MAX);
        self.peak_bytes = self.bytes;
        self.refused = false;
    }

    /// The largest sum seen, in bytes.
    pub(crate) fn peak_bytes(&self) -> u64 {
        self.peak_bytes as u64
    }

    /// Whether a grow was ever refused. A guest that then aborts shows only an `unreachable`, so this is the evidence.
    pub(crate) fn refused(&self) -> bool {
        self.refused
    }

    fn grow(&mut self, more: usize) -> bool {
        match self.bytes.checked_add(more) {
            Some(sum) if sum <= self.bytes_max => {
                self.bytes = sum;
                self.peak_bytes = self.peak_bytes.max(sum);
                true
            }
            _ => {
                self.refused = true;
                false
            }
        }
    }
}

impl ResourceLimiter for MemoryMeter {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> Result<bool> {
        // Past its own declared maximum the grow fails anyway: that is the module's word, not our limit.
        if maximum.is_some_and(|max| desired > max) {
            return Ok(false);
        }
        Ok(self.grow(desired.saturating_sub(current)))
    }

    fn table_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> Result<bool> {
        if maximum.is_some_and(|max| desired > max) {
            return Ok(false);
        }
        Ok(self.grow(desired.saturating_sub(current).saturating_mul(TABLE_ELEMENT_BYTES)))
    }

    fn instances(&self) -> usize {
        CORE_INSTANCES_MAX as usize
    }

    fn memories(&self) -> usize {
        MEMORIES_MAX as usize
    }

    fn tables(&self) -> usize {
        TABLES_MAX as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_memories_share_one_limit() {
        let mut meter = MemoryMeter::new(100);
        assert!(meter.memory_growing(0, 60, None).unwrap());
        assert!(!meter.memory_growing(0, 60, None).unwrap());
        assert!(meter.refused());
        assert_eq!(meter.peak_bytes(), 60);
    }

    #[test]
    fn what_is_held_beyond_a_lowered_limit_stays_and_grows_no_more() {
        let mut meter = MemoryMeter::new(100);
        assert!(meter.memory_growing(0, 60, None).unwrap());
        meter.begin_call(50);
        assert!(!meter.memory_growing(60, 61, None).unwrap());
        assert_eq!(meter.bytes(), 60);
        meter.begin_call(70);
        assert!(meter.memory_growing(60, 70, None).unwrap());
    }

    #[test]
    fn tables_count_too() {
        let mut meter = MemoryMeter::new(160);
        assert!(meter.table_growing(0, 10, None).unwrap());
        assert!(!meter.memory_growing(0, 1, None).unwrap());
    }

    #[test]
    fn a_grow_past_the_modules_own_maximum_is_not_our_refusal() {
        let mut meter = MemoryMeter::new(100);
        assert!(!meter.memory_growing(0, 60, Some(50)).unwrap());
        assert!(!meter.refused());
    }
}

//! Writes the times of events: RFC 3339 from nanoseconds since 1970.

const SECOND_NS: u64 = 1_000_000_000;
const DAY_S: u64 = 86_400;
/// Days from 0000-03-01, where the years of the calculation begin, to 1970-01-01.
const EPOCH_DAYS: u64 = 719_468;
const DAYS_OF_400_YEARS: u64 = 146_097;

/// A time as CloudEvents' `time` has it: RFC 3339, in UTC, to the nanosecond.
pub fn timestamp(unix_ns: u64) -> String {
    let (seconds, nanos) = (unix_ns / SECOND_NS, unix_ns % SECOND_NS);
    let (days, second) = (seconds / DAY_S + EPOCH_DAYS, seconds % DAY_S);
    // Years begin in March, so that a leap day is the last of its year (H. Hinnant, civil_from_days).
    let (era, day) = (days / DAYS_OF_400_YEARS, days % DAYS_OF_400_YEARS);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let shifted = (5 * day + 2) / 153;
    let day = day - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{nanos:09}Z")
}

#[cfg(test)]
mod tests {
    use super::timestamp;

    #[test]
    fn times_are_written_as_rfc_3339_says_also_around_leap_days_and_turns_of_years() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00"),
            (951_782_399, "2000-02-28T23:59:59"),
            (951_782_400, "2000-02-29T00:00:00"),
            (951_868_800, "2000-03-01T00:00:00"),
            (1_704_067_199, "2023-12-31T23:59:59"),
            (1_704_067_200, "2024-01-01T00:00:00"),
            (1_709_164_800, "2024-02-29T00:00:00"),
            (4_107_542_400, "2100-03-01T00:00:00"),
        ] {
            assert_eq!(timestamp(seconds * 1_000_000_000 + 7), format!("{text}.000000007Z"));
        }
        assert_eq!(timestamp(u64::MAX), "2554-07-21T23:34:33.709551615Z");
    }
}

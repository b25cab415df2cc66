//! Which known name a mistyped one was probably meant to be.

/// The known dotted name nearest to `unknown`: the same last part wins, then the fewest edits.
pub fn nearest<'a>(unknown: &str, known: impl Iterator<Item = &'a str>) -> &'a str {
    let leaf = |name: &'a str| name.rsplit('.').next().unwrap_or(name);
    let unknown_leaf = unknown.rsplit('.').next().unwrap_or(unknown);
    known
        .min_by_key(|name| {
            (
                edits(unknown, name).min(edits(unknown_leaf, leaf(name)) + 1),
                name.len(),
            )
        })
        .unwrap_or_default()
}

/// Levenshtein distance over characters.
fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (cell, to) in row.iter_mut().skip(1).zip(&b) {
            let substituted = diagonal + usize::from(from != *to);
            diagonal = *cell;
            left = substituted.min(diagonal + 1).min(left + 1);
            *cell = left;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_are_counted() {
        assert_eq!(
            [edits("", "abc"), edits("kitten", "sitting"), edits("same", "same")],
            [3, 3, 0]
        );
    }

    #[test]
    fn a_key_without_its_section_finds_its_section() {
        let known = ["host.listen", "host.data", "gateway.body_bytes_max"];
        assert_eq!(nearest("listen", known.into_iter()), "host.listen");
        assert_eq!(
            nearest("gateway.body_byte_max", known.into_iter()),
            "gateway.body_bytes_max"
        );
        assert_eq!(nearest("gateway.listen", known.into_iter()), "host.listen");
    }
}

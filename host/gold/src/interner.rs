//! Numbers in the place of texts, so that a row that is held is small and of a fixed size.

use std::num::NonZeroU32;

use polars::prelude::*;

/// The number of a text; none takes no room of its own.
pub(crate) type Number = NonZeroU32;

/// Gives texts numbers, in the order they come.
#[derive(Debug, Default)]
pub(crate) struct Interner(PlIndexSet<Box<str>>);

impl Interner {
    /// The number of a text.
    pub(crate) fn number(&mut self, text: &str) -> PolarsResult<Number> {
        let place = match self.0.get_index_of(text) {
            Some(place) => place,
            None => self.0.insert_full(text.into()).0,
        };
        let number = u32::try_from(place + 1).ok().and_then(Number::new);
        number.ok_or_else(|| polars_err!(ComputeError: "there are more texts than numbers"))
    }

    /// The numbers of a column's texts.
    pub(crate) fn numbers(&mut self, texts: &Column) -> PolarsResult<Vec<Option<Number>>> {
        let mut last: Option<(&str, Number)> = None;
        let mut number = |text| match last {
            // Equal texts mostly follow each other.
            Some((before, number)) if before == text => Ok(number),
            _ => {
                let number = self.number(text)?;
                last = Some((text, number));
                Ok(number)
            }
        };
        let texts = texts.str()?.iter();
        texts.map(|text| text.map(&mut number).transpose()).collect()
    }

    /// Puts the texts in order, and says which number each has from now on.
    pub(crate) fn sorted(self) -> (Texts, Ranks) {
        let mut texts: Vec<(Box<str>, usize)> = self.0.into_iter().zip(0..).collect();
        texts.sort_unstable();
        let mut ranks = vec![Number::MIN; texts.len()];
        let mut rank = Number::MIN;
        for (_, place) in &texts {
            if let Some(number) = ranks.get_mut(*place) {
                *number = rank;
            }
            rank = rank.saturating_add(1);
        }
        let texts = texts.into_iter().map(|(text, _)| text).collect();
        (Texts(texts), Ranks(ranks))
    }
}

/// Texts by number, in their order: numbers compare as texts do.
#[derive(Debug)]
pub(crate) struct Texts(Vec<Box<str>>);

impl Texts {
    /// The text that has this number.
    pub(crate) fn of(&self, number: Number) -> &str {
        self.0.get(place(number)).map_or("", |text| &**text)
    }
}

/// The numbers texts have once they are in order.
#[derive(Debug)]
pub(crate) struct Ranks(Vec<Number>);

impl Ranks {
    /// Puts the number in order in the place of the one a text had before.
    pub(crate) fn put(&self, number: &mut Number) {
        if let Some(rank) = self.0.get(place(*number)) {
            *number = *rank;
        }
    }
}

fn place(number: Number) -> usize {
    number.get() as usize - 1
}

//! Why a requirement is not met, as a tree of sentences: each candidate, and what speaks against it.

use std::fmt;

use super::{DEPTH_MAX, Interface, Known, Unresolved};
use crate::KernelError;
use crate::governance::Denied;

/// The most sentences of one explanation.
const SENTENCES_MAX: usize = 64;

/// A requirement that nobody meets.
pub(super) struct Unmet<'a> {
    pub(super) owner: &'a Known,
    pub(super) required: &'a Interface,
    pub(super) candidates: Vec<Candidate<'a>>,
}

/// A capsule that provides the interface, in some version.
pub(super) struct Candidate<'a> {
    pub(super) capsule: &'a Known,
    pub(super) against: Against<'a>,
}

/// What speaks against a candidate.
pub(super) enum Against<'a> {
    /// It has the interface in versions that do not do.
    Version,
    /// Its URN means another version.
    NotTheOne(&'a Known),
    /// A policy.
    Denied(Denied),
    /// It uses, through these, the capsule that would use it.
    Circle(Vec<&'a Known>),
    /// Another version of it is needed already.
    OtherVersion(&'a Known),
    /// It would be too far from the wanted capsule.
    TooDeep,
    /// With it, this cannot be met.
    Then(Box<Unmet<'a>>),
}

/// A sentence, and the sentences that say why it is so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Explanation {
    pub(crate) sentence: String,
    pub(crate) because: Vec<Explanation>,
}

impl Unmet<'_> {
    /// The sentences, at most [`SENTENCES_MAX`].
    pub(super) fn explain(&self) -> Explanation {
        self.within(&mut (SENTENCES_MAX - 1))
    }

    fn within(&self, left: &mut usize) -> Explanation {
        let (owner, required) = (self.owner, self.required);
        if self.candidates.is_empty() {
            return leaf(format!(
                "{owner} requires {required}, and nothing known provides {}",
                required.name
            ));
        }
        let mut because = Vec::new();
        for candidate in &self.candidates {
            // The last one is kept for what says that there is more.
            if *left <= 1 {
                let more = self.candidates.len() - because.len();
                because.push(leaf(format!("and {more} more, not shown")));
                *left = 0;
                break;
            }
            *left -= 1;
            because.push(candidate.explain(self, left));
        }
        Explanation {
            sentence: format!("{owner} requires {required}, and none of those that provide it can be used"),
            because,
        }
    }
}

impl Candidate<'_> {
    fn explain(&self, unmet: &Unmet<'_>, left: &mut usize) -> Explanation {
        let (capsule, owner) = (self.capsule, unmet.owner);
        match &self.against {
            Against::Version => {
                let same_name = capsule
                    .provides
                    .iter()
                    .filter(|provided| provided.name == unmet.required.name);
                let versions: Vec<String> = same_name.map(|provided| provided.version.to_string()).collect();
                let (has, asked) = (versions.join(" and "), &unmet.required.version);
                leaf(format!("{capsule} has {has}, which does not stand in for {asked}"))
            }
            Against::NotTheOne(settled) if settled.standing.active => leaf(format!(
                "{capsule} is not active, {} is, and what a URN means is changed by a swap only",
                settled.version
            )),
            Against::NotTheOne(settled) => leaf(format!("{capsule} is another version of {settled}, which is wanted")),
            Against::Denied(denied) => leaf(format!("{capsule} is refused to {owner}: {denied}")),
            Against::Circle(way) => {
                let way: Vec<String> = way.iter().map(ToString::to_string).collect();
                leaf(format!(
                    "{capsule} would close a circle: {owner} -> {}",
                    way.join(" -> ")
                ))
            }
            Against::OtherVersion(needed) => leaf(format!(
                "{capsule} cannot be used beside {needed}, which is needed already: a URN has one version"
            )),
            Against::TooDeep => leaf(format!(
                "{capsule} would be the end of a chain of more than {DEPTH_MAX} capsules"
            )),
            Against::Then(unmet) => {
                let sentence = if unmet.owner.is(capsule) {
                    format!("{capsule} lacks something itself")
                } else {
                    format!("with {capsule}, another requirement cannot be met")
                };
                if *left == 0 {
                    return leaf(sentence);
                }
                *left -= 1;
                Explanation {
                    sentence,
                    because: vec![unmet.within(left)],
                }
            }
        }
    }
}

fn leaf(sentence: String) -> Explanation {
    Explanation {
        sentence,
        because: Vec::new(),
    }
}

impl Explanation {
    fn write(&self, f: &mut fmt::Formatter<'_>, depth: usize) -> fmt::Result {
        write!(f, "{:indent$}{}", "", self.sentence, indent = depth * 2)?;
        for because in &self.because {
            writeln!(f)?;
            because.write(f, depth + 1)?;
        }
        Ok(())
    }
}

/// One sentence a line; what says why stands below, further in.
impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, 0)
    }
}

impl From<Unresolved> for KernelError {
    fn from(unresolved: Unresolved) -> Self {
        match unresolved {
            Unresolved::Unmet { what, why } => Self::Unmet {
                what,
                why: why.to_string(),
            },
            Unresolved::TooMany { what, counted, max } => Self::TooEntangled {
                what,
                counted: counted.into(),
                max,
            },
        }
    }
}

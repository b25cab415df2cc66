//! Made-up capsules: words of syllables, a few of them everywhere and most of them rare, as in any language.

use kinetic_kernel::search::{Document, Field};

const WORDS: u64 = 20_000;
const SYLLABLES: [&str; 24] = [
    "ba", "ren", "tol", "mi", "gra", "sen", "vo", "lek", "pu", "dar", "ni", "fos", "tem", "ka", "rul", "shi", "mon",
    "te", "quo", "bel", "zan", "ir", "ope", "lus",
];

/// Numbers that are the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }

    /// A word; about every other one is among the commonest two hundred.
    fn word(&mut self) -> String {
        let bound = match self.below(4) {
            0 => 20,
            1 => 200,
            2 => 4_000,
            _ => WORDS,
        };
        word(self.below(bound))
    }

    fn words(&mut self, from: u64, to: u64) -> String {
        let count = from + self.below(to - from + 1);
        (0..count).map(|_| self.word()).collect::<Vec<_>>().join(" ")
    }
}

/// The word of a number: three syllables, and the number's rest as a fourth.
fn word(number: u64) -> String {
    let mut dice = Dice(number);
    (0..3 + number % 2)
        .map(|_| SYLLABLES[dice.below(SYLLABLES.len() as u64) as usize])
        .collect()
}

/// One capsule.
struct Made {
    name: String,
    title: String,
    description: String,
    functions: Vec<(String, String)>,
}

pub struct Corpus(Vec<Made>);

impl Corpus {
    pub fn new(capsules: usize) -> Self {
        let mut dice = Dice(7);
        let made = |number: usize| Made {
            name: format!("{}_{number}", dice.word()),
            title: dice.words(1, 3),
            description: dice.words(10, 30),
            functions: (0..=dice.below(4))
                .map(|_| (format!("{}-{}", dice.word(), dice.word()), dice.words(6, 14)))
                .collect(),
        };
        Self((0..capsules).map(made).collect())
    }

    pub fn documents(&self) -> impl Iterator<Item = Document> {
        self.0.iter().map(|made| {
            let urn = format!("urn:made:actionspace:solver:{}:v1", made.name);
            let document = Document::new(
                urn.parse().unwrap(),
                "1.0.0".parse().unwrap(),
                made.description.as_str(),
            )
            .titled(made.title.as_str())
            .with(Field::Zone, "tenant")
            .with(Field::Determinism, "D0_bit_exact");
            made.functions.iter().fold(document, |document, (name, text)| {
                document
                    .with(Field::Function, name.as_str())
                    .with(Field::FunctionText, text.as_str())
            })
        })
    }

    /// All text of each capsule, in one piece.
    pub fn texts(&self) -> impl Iterator<Item = String> {
        self.0.iter().map(|made| {
            let functions: Vec<String> = made
                .functions
                .iter()
                .map(|(name, text)| format!("{name} {text}"))
                .collect();
            [&made.name, &made.title, &made.description, &functions.join(" ")]
                .map(String::as_str)
                .join(" ")
        })
    }

    /// Three words each; of the misspelled ones two have neighbouring letters changed over.
    pub fn queries(&self, count: usize, misspelled: bool) -> Vec<String> {
        let mut dice = Dice(11);
        let query = |_| {
            let words = [dice.word(), dice.word(), dice.word()];
            let spelled = words.iter().enumerate().map(|(at, word)| match misspelled && at > 0 {
                true => swapped(word),
                false => word.clone(),
            });
            spelled.collect::<Vec<_>>().join(" ")
        };
        (0..count).map(query).collect()
    }
}

fn swapped(word: &str) -> String {
    let mut letters: Vec<char> = word.chars().collect();
    let middle = letters.len() / 2;
    letters.swap(middle - 1, middle);
    letters.into_iter().collect()
}

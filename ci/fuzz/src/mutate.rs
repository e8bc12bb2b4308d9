//! A small deterministic mutator: no coverage feedback, but the words of the target's language, splices and repeats.

/// Longer inputs find nothing more here and only take time.
const INPUT_BYTES_MAX: usize = 4096;
const CHANGES_MAX: usize = 6;

pub struct Mutator {
    state: u64,
    corpus: Vec<Vec<u8>>,
    dictionary: &'static [&'static str],
}

impl Mutator {
    pub fn new(seed: u64, mut corpus: Vec<Vec<u8>>, dictionary: &'static [&'static str]) -> Self {
        if corpus.is_empty() {
            corpus.push(Vec::new());
        }
        // xorshift stays at zero for ever.
        Self { state: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1, corpus, dictionary }
    }

    pub fn next_input(&mut self) -> Vec<u8> {
        let mut input = self.any_of_corpus();
        for _ in 0..=self.below(CHANGES_MAX) {
            self.change(&mut input);
        }
        input.truncate(INPUT_BYTES_MAX);
        input
    }

    fn change(&mut self, input: &mut Vec<u8>) {
        let place = self.below(input.len() + 1);
        match self.below(9) {
            0 => {
                let bit = self.below(8);
                input.get_mut(place).into_iter().for_each(|byte| *byte ^= 1 << bit);
            }
            1 => {
                let new = self.any_byte();
                input.get_mut(place).into_iter().for_each(|byte| *byte = new);
            }
            2 => input.insert(place, self.any_byte()),
            3 => {
                let end = (place + 1 + self.below(8)).min(input.len());
                input.drain(place..end);
            }
            4 => input.truncate(place),
            5 | 6 => {
                let word = self.below(self.dictionary.len().max(1));
                let word = self.dictionary.get(word).map_or(&b""[..], |word| word.as_bytes());
                input.splice(place..place, word.iter().copied());
            }
            7 => {
                let end = (place + 1 + self.below(32)).min(input.len());
                let part = input.get(place..end).unwrap_or_default().to_vec();
                input.splice(place..place, part);
            }
            _ => {
                let other = self.any_of_corpus();
                let cut = self.below(other.len() + 1);
                input.truncate(place);
                input.extend_from_slice(other.get(cut..).unwrap_or_default());
            }
        }
    }

    fn any_of_corpus(&mut self) -> Vec<u8> {
        let index = self.below(self.corpus.len());
        self.corpus.get(index).cloned().unwrap_or_default()
    }

    fn any_byte(&mut self) -> u8 {
        self.next().to_le_bytes()[7]
    }

    fn below(&mut self, end: usize) -> usize {
        let end = u64::try_from(end.max(1)).unwrap_or(1);
        usize::try_from((self.next() >> 16) % end).unwrap_or(0)
    }

    /// xorshift64.
    fn next(&mut self) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state
    }
}

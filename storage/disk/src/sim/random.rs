//! The dice of the simulated device: SplitMix64 (Steele, Lea, Flood 2014), the same for a seed on every machine.

#[derive(Clone, Debug)]
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        assert!(bound > 0);
        self.next() % bound
    }
}

/// How likely one change is to survive a crash: drawn once per file, so that "all", "none" and "all but a few" occur often.
#[derive(Clone, Copy, Debug)]
pub(super) struct Survival {
    kept_of_16: u64,
}

impl Survival {
    pub(super) const ALL: Self = Self { kept_of_16: 16 };
    pub(super) const NONE: Self = Self { kept_of_16: 0 };

    pub(super) fn draw(random: &mut Random) -> Self {
        const CHOICES: [u64; 6] = [0, 1, 8, 8, 15, 16];
        Self { kept_of_16: CHOICES[random.below(CHOICES.len() as u64) as usize] }
    }

    pub(super) fn keeps(self, random: &mut Random) -> bool {
        random.below(16) < self.kept_of_16
    }
}

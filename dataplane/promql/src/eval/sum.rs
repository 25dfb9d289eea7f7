//! Compensated sums: Kahan's algorithm with Neumaier's improvement, at the same places and in the same order as Prometheus,
//! so that rounding is the same too.

/// A running sum and what rounding took from it.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Sum {
    pub value: f64,
    pub compensation: f64,
}

impl Sum {
    pub fn new(value: f64) -> Self {
        Self { value, compensation: 0.0 }
    }

    #[inline]
    pub fn add(&mut self, increment: f64) {
        let total = self.value + increment;
        if total.is_infinite() {
            self.compensation = 0.0;
        } else if self.value.abs() >= increment.abs() {
            self.compensation += (self.value - total) + increment;
        } else {
            self.compensation += (increment - total) + self.value;
        }
        self.value = total;
    }

    #[inline]
    pub fn total(&self) -> f64 {
        self.value + self.compensation
    }
}

/// A mean: a sum that is divided at the end, until the sum would overflow; then a mean that is kept up to date.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mean {
    count: f64,
    /// Of the values; of the mean, once incremental.
    sum: Sum,
    is_incremental: bool,
}

impl Mean {
    pub fn new(first: f64) -> Self {
        Self { count: 1.0, sum: Sum::new(first), is_incremental: false }
    }

    #[inline]
    pub fn add(&mut self, value: f64) {
        self.count += 1.0;
        if !self.is_incremental {
            let mut sum = self.sum;
            sum.add(value);
            if !sum.value.is_infinite() {
                self.sum = sum;
                return;
            }
            self.is_incremental = true;
            self.sum.value /= self.count - 1.0;
            self.sum.compensation /= self.count - 1.0;
        }
        let weight = (self.count - 1.0) / self.count;
        self.sum.value *= weight;
        self.sum.compensation *= weight;
        self.sum.add(value / self.count);
    }

    pub fn total(&self) -> f64 {
        if self.is_incremental {
            self.sum.total()
        } else {
            self.sum.value / self.count + self.sum.compensation / self.count
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_terms_are_not_lost() {
        let mut sum = Sum::default();
        for value in [1.0, 1e100, 1.0, -1e100] {
            sum.add(value);
        }
        assert_eq!(sum.total(), 2.0);
    }

    #[test]
    fn a_mean_does_not_overflow() {
        let mut mean = Mean::new(1.5e308);
        mean.add(1.5e308);
        mean.add(1.5e308);
        assert_eq!(mean.total(), 1.5e308);
    }
}

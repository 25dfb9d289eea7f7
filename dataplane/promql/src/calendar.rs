//! Civil dates in UTC from seconds since 1970, after Howard Hinnant's `civil_from_days`. No leap seconds, no zones.

/// A date of the proleptic Gregorian calendar.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Date {
    pub year: i64,
    /// 1 to 12.
    pub month: i64,
    /// 1 to 31.
    pub day: i64,
}

const DAY_SECONDS: i64 = 86_400;

impl Date {
    pub fn from_seconds(seconds: i64) -> Self {
        // Eras of 400 years that begin on 1 March, so that the leap day is the last of its year.
        let days = seconds.div_euclid(DAY_SECONDS) + 719_468;
        let era = days.div_euclid(146_097);
        let day_of_era = days.rem_euclid(146_097);
        let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted_month = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
        let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
        Self { year: year_of_era + era * 400 + i64::from(month <= 2), month, day }
    }

    fn is_leap_year(self) -> bool {
        self.year % 4 == 0 && (self.year % 100 != 0 || self.year % 400 == 0)
    }

    pub fn days_in_month(self) -> i64 {
        match self.month {
            2 => 28 + i64::from(self.is_leap_year()),
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        }
    }

    /// 1 to 366.
    pub fn day_of_year(self) -> i64 {
        (1..self.month).map(|month| Self { month, ..self }.days_in_month()).sum::<i64>() + self.day
    }
}

/// 0 is Sunday.
pub(crate) fn day_of_week(seconds: i64) -> i64 {
    (seconds.div_euclid(DAY_SECONDS) + 4).rem_euclid(7)
}

pub(crate) fn hour(seconds: i64) -> i64 {
    seconds.rem_euclid(DAY_SECONDS) / 3_600
}

pub(crate) fn minute(seconds: i64) -> i64 {
    seconds.rem_euclid(3_600) / 60
}

/// `1970-01-01T00:00:00Z`, milliseconds cut off.
pub(crate) fn rfc3339(timestamp_ms: i64) -> String {
    let seconds = timestamp_ms / 1_000;
    let date = Date::from_seconds(seconds);
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z",
        date.year,
        date.month,
        date.day,
        hour(seconds),
        minute(seconds),
        seconds.rem_euclid(60)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_dates() {
        let cases = [
            (0, "1970-01-01T00:00:00Z", 4, 1),
            (951_782_400, "2000-02-29T00:00:00Z", 2, 60),
            (-1, "1969-12-31T23:59:59Z", 3, 365),
            (1_735_689_599, "2024-12-31T23:59:59Z", 2, 366),
        ];
        for (seconds, text, weekday, day_of_year) in cases {
            assert_eq!(rfc3339(seconds * 1_000), text);
            assert_eq!(day_of_week(seconds), weekday, "{text}");
            assert_eq!(Date::from_seconds(seconds).day_of_year(), day_of_year, "{text}");
        }
    }
}

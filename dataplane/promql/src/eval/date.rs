//! Parts of dates, in UTC.

use crate::calendar::{Date, day_of_week, hour, minute};

/// The function from seconds since 1970 to a part of the date, for names that are date functions.
pub(super) fn date_function(name: &str) -> Option<fn(f64) -> f64> {
    Some(match name {
        "days_in_month" => |seconds| date(seconds).days_in_month() as f64,
        "day_of_month" => |seconds| date(seconds).day as f64,
        "day_of_week" => |seconds| day_of_week(whole(seconds)) as f64,
        "day_of_year" => |seconds| date(seconds).day_of_year() as f64,
        "hour" => |seconds| hour(whole(seconds)) as f64,
        "minute" => |seconds| minute(whole(seconds)) as f64,
        "month" => |seconds| date(seconds).month as f64,
        "year" => |seconds| date(seconds).year as f64,
        _ => return None,
    })
}

fn date(seconds: f64) -> Date {
    Date::from_seconds(whole(seconds))
}

/// Cut towards zero. What no 64 bits hold becomes what amd64 (and so Prometheus) makes of it, within what dates can say.
fn whole(seconds: f64) -> i64 {
    const LIMIT: i64 = i64::MAX / 4;
    if seconds.is_nan() { -LIMIT } else { (seconds as i64).clamp(-LIMIT, LIMIT) }
}

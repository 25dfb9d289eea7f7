//! Trends in a window: least squares and double exponential smoothing.

use super::range::Window;
use super::sum::Sum;

/// A line through the samples: slope per second and value at `intercept_ms`.
pub(super) fn line(window: &Window<'_>, intercept_ms: i64) -> Option<(f64, f64)> {
    let first = *window.values.first().filter(|_| window.len() > 1)?;
    let (mut x_sum, mut y_sum, mut xy_sum, mut xx_sum) =
        (Sum::default(), Sum::default(), Sum::default(), Sum::default());
    for (timestamp_ms, y) in window.timestamps_ms.iter().zip(window.values) {
        let x = (timestamp_ms - intercept_ms) as f64 / 1e3;
        x_sum.add(x);
        y_sum.add(*y);
        xy_sum.add(x * y);
        xx_sum.add(x * x);
    }
    // A constant is a constant, whatever rounding makes of it. NaN is not equal to itself, so it is none.
    if window.values[1..].iter().all(|value| *value == first) {
        return Some(if first.is_infinite() { (f64::NAN, f64::NAN) } else { (0.0, first) });
    }
    let count = window.len() as f64;
    let (x, y, xy, xx) = (x_sum.total(), y_sum.total(), xy_sum.total(), xx_sum.total());
    let slope = (xy - x * y / count) / (xx - x * x / count);
    Some((slope, y / count - slope * x / count))
}

/// The newest smoothed value; both factors lie between 0 and 1.
pub(super) fn double_exponential(window: &Window<'_>, smoothing: f64, trend: f64) -> Option<f64> {
    let values = window.values;
    if values.len() < 2 {
        return None;
    }
    let mut slope = values[1] - values[0];
    let (mut previous, mut smoothed) = (0.0, values[0]);
    for (index, value) in values.iter().enumerate().skip(1) {
        if index > 1 {
            slope = trend * (smoothed - previous) + (1.0 - trend) * slope;
        }
        let next = smoothing * value + (1.0 - smoothing) * (smoothed + slope);
        (previous, smoothed) = (smoothed, next);
    }
    Some(smoothed)
}

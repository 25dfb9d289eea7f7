//! Plots as SVG text: lines over an axis, and bars. No script, no font, no colour from elsewhere.

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 260.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 130.0;
const TOP: f64 = 14.0;
const BOTTOM: f64 = 36.0;
const COLOURS: [&str; 8] = ["#1b6ca8", "#d1495b", "#2e8b57", "#c98a1b", "#6a4c93", "#0b7a75", "#8a5a44", "#5c6670"];

/// A named line.
pub struct Line {
    pub name: String,
    pub points: Vec<(f64, f64)>,
}

/// What stands at the axes.
pub struct Axes<'a> {
    pub x: &'a str,
    pub y: &'a str,
    /// Names for places on the x axis; without them round numbers.
    pub x_names: &'a [(f64, String)],
}

/// Lines over a common axis; `y` begins at 0. Empty without points.
pub fn lines(axes: &Axes<'_>, lines: &[Line]) -> String {
    let all = || lines.iter().flat_map(|line| &line.points);
    let Some(x_min) = all().map(|point| point.0).min_by(f64::total_cmp) else { return String::new() };
    let x_max = all().map(|point| point.0).fold(x_min + 1e-9, f64::max);
    let y_max = all().map(|point| point.1).fold(1e-9, f64::max) * 1.05;
    let x_of = |x: f64| LEFT + (x - x_min) / (x_max - x_min) * (WIDTH - LEFT - RIGHT);
    let y_of = |y: f64| HEIGHT - BOTTOM - y / y_max * (HEIGHT - TOP - BOTTOM);
    let mut svg = open();
    for tick in ticks(0.0, y_max) {
        let y = y_of(tick);
        svg.push_str(&format!(
            "<line x1=\"{LEFT}\" x2=\"{:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\" class=\"grid\"/><text x=\"{:.1}\" y=\"{:.1}\" class=\"end\">{}</text>",
            WIDTH - RIGHT, LEFT - 6.0, y + 4.0, short(tick)
        ));
    }
    let places: Vec<(f64, String)> = match axes.x_names {
        [] => ticks(x_min, x_max).into_iter().map(|tick| (tick, short(tick))).collect(),
        names => names.to_vec(),
    };
    for (x, name) in places {
        let (x, y) = (x_of(x), HEIGHT - BOTTOM + 15.0);
        svg.push_str(&format!("<text x=\"{x:.1}\" y=\"{y:.1}\" class=\"middle\">{}</text>", escaped(&name)));
    }
    for (index, line) in lines.iter().enumerate() {
        let colour = COLOURS[index % COLOURS.len()];
        let path: Vec<String> = line.points.iter().map(|(x, y)| format!("{:.1},{:.1}", x_of(*x), y_of(*y))).collect();
        let (x, y) = (WIDTH - RIGHT + 10.0, TOP + 12.0 + 17.0 * index as f64);
        svg.push_str(&format!(
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.8\"/><text x=\"{x}\" y=\"{y}\" fill=\"{colour}\">{}</text>",
            path.join(" "), escaped(&line.name)
        ));
    }
    let (x, y) = ((LEFT + WIDTH - RIGHT) / 2.0, HEIGHT - 4.0);
    svg.push_str(&format!("<text x=\"{x}\" y=\"{y}\" class=\"middle\">{}</text>", escaped(axes.x)));
    let (x, y) = (14.0, (HEIGHT - BOTTOM) / 2.0);
    svg.push_str(&format!(
        "<text x=\"{x}\" y=\"{y}\" class=\"middle\" transform=\"rotate(-90 {x} {y})\">{}</text></svg>",
        escaped(axes.y)
    ));
    svg
}

/// Bars from left to right, each with its name and value.
pub fn bars(unit: &str, rows: &[(String, f64)]) -> String {
    let longest = rows.iter().map(|row| row.1).fold(1e-9, f64::max);
    let height = 24.0 * rows.len() as f64 + 8.0;
    let mut svg = format!("<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\">");
    for (index, (name, value)) in rows.iter().enumerate() {
        let y = 24.0 * index as f64 + 4.0;
        let width = value / longest * (WIDTH - 330.0);
        svg.push_str(&format!(
            "<text x=\"160\" y=\"{:.1}\" class=\"end\">{}</text><rect x=\"168\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"17\" fill=\"{}\"/><text x=\"{:.1}\" y=\"{:.1}\">{} {}</text>",
            y + 13.0, escaped(name), COLOURS[0], 174.0 + width, y + 13.0, short(*value), escaped(unit)
        ));
    }
    svg.push_str("</svg>");
    svg
}

fn open() -> String {
    format!("<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\">")
}

/// Four to nine round numbers between two.
fn ticks(min: f64, max: f64) -> Vec<f64> {
    let rough = (max - min) / 5.0;
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].iter().map(|factor| factor * power).find(|step| *step >= rough).unwrap_or(rough);
    let first = (min / step).ceil() as i64;
    (first..).map(|index| index as f64 * step).take_while(|tick| *tick <= max * (1.0 + 1e-9)).take(20).collect()
}

/// A number with k or M.
pub fn short(number: f64) -> String {
    let (scaled, unit) = match number.abs() {
        n if n >= 1e9 => (number / 1e9, "G"),
        n if n >= 1e6 => (number / 1e6, "M"),
        n if n >= 1e3 => (number / 1e3, "k"),
        _ => (number, ""),
    };
    let text = format!("{scaled:.3}");
    format!("{}{unit}", text.trim_end_matches('0').trim_end_matches('.'))
}

/// Text between tags.
pub fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_have_round_numbers() {
        assert_eq!(ticks(0.0, 10.0), [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]);
        assert_eq!(ticks(0.0, 1e-9).len(), 6);
        for (number, expected) in [(1500.0, "1.5k"), (0.25, "0.25"), (2e6, "2M"), (0.0, "0")] {
            assert_eq!(short(number), expected);
        }
    }

    #[test]
    fn nothing_is_drawn_from_nothing() {
        let axes = Axes { x: "s", y: "y", x_names: &[] };
        assert_eq!(lines(&axes, &[]), "");
        let one = Line { name: "a".to_owned(), points: vec![(1.0, 0.0)] };
        assert!(!lines(&axes, &[one]).contains("NaN"));
    }
}

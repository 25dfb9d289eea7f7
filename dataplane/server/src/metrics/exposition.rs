//! Prometheus' text format, version 0.0.4: written for `/metrics`, and kept as samples for the node's own recording.

use std::fmt::Write;

/// What a family is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// One line: name (with `_bucket` and the like), labels in the order given, value.
#[derive(Clone, PartialEq, Debug)]
pub struct Line {
    pub name: String,
    pub labels: Vec<(&'static str, String)>,
    pub value: f64,
}

/// Families in the order of their writing.
#[derive(Default)]
pub struct Exposition {
    lines: Vec<Line>,
    /// (index of the first line, name, kind, help)
    families: Vec<(usize, &'static str, Kind, &'static str)>,
}

impl Exposition {
    /// Begins a family; the samples that follow belong to it.
    pub fn family(&mut self, name: &'static str, kind: Kind, help: &'static str) -> &mut Self {
        self.families.push((self.lines.len(), name, kind, help));
        self
    }

    /// A sample of the current family.
    pub fn sample(&mut self, labels: &[(&'static str, &str)], value: f64) -> &mut Self {
        let name = self.families.last().expect("a family was begun").1;
        self.push(name.to_owned(), labels, value);
        self
    }

    /// A family of one sample without labels.
    pub fn single(&mut self, name: &'static str, kind: Kind, help: &'static str, value: f64) -> &mut Self {
        self.family(name, kind, help).sample(&[], value)
    }

    /// A classic histogram: `buckets` are (upper bound, cumulative count) in rising order without `+Inf`.
    pub fn histogram(&mut self, labels: &[(&'static str, &str)], buckets: &[(f64, u64)], sum: f64, count: u64) {
        let name = self.families.last().expect("a family was begun").1;
        for (bound, cumulative) in buckets {
            let bound = bound.to_string();
            let labels: Vec<_> = labels.iter().copied().chain([("le", bound.as_str())]).collect();
            self.push(format!("{name}_bucket"), &labels, *cumulative as f64);
        }
        let mut labels_inf = labels.to_vec();
        labels_inf.push(("le", "+Inf"));
        self.push(format!("{name}_bucket"), &labels_inf, count as f64);
        self.push(format!("{name}_sum"), labels, sum);
        self.push(format!("{name}_count"), labels, count as f64);
    }

    fn push(&mut self, name: String, labels: &[(&'static str, &str)], value: f64) {
        let labels = labels.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        self.lines.push(Line { name, labels, value });
    }

    #[must_use]
    pub fn lines(&self) -> &[Line] {
        &self.lines
    }

    /// The page that `/metrics` answers.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = String::with_capacity(self.lines.len() * 80);
        let mut families = self.families.iter().peekable();
        for (index, line) in self.lines.iter().enumerate() {
            while let Some((_, name, kind, help)) = families.next_if(|(first, ..)| *first <= index) {
                let kind = match kind {
                    Kind::Counter => "counter",
                    Kind::Gauge => "gauge",
                    Kind::Histogram => "histogram",
                };
                let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
            }
            text.push_str(&line.name);
            for (index, (name, value)) in line.labels.iter().enumerate() {
                let open = if index == 0 { '{' } else { ',' };
                let value = value.replace('\\', r"\\").replace('"', "\\\"").replace('\n', "\\n");
                let _ = write!(text, "{open}{name}=\"{value}\"");
            }
            let close = if line.labels.is_empty() { "" } else { "}" };
            let _ = writeln!(text, "{close} {}", format_value(line.value));
        }
        text
    }
}

fn format_value(value: f64) -> String {
    match value {
        v if v.is_nan() => "NaN".to_owned(),
        v if v == f64::INFINITY => "+Inf".to_owned(),
        v if v == f64::NEG_INFINITY => "-Inf".to_owned(),
        v => v.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_the_text_format() {
        let mut page = Exposition::default();
        page.single("a_total", Kind::Counter, "As.", 3.0);
        page.family("b", Kind::Gauge, "Bs.").sample(&[("x", "q\"\\\n"), ("y", "1")], f64::INFINITY);
        page.family("none", Kind::Gauge, "No sample, no line.");
        page.family("h", Kind::Histogram, "Hs.").histogram(&[("m", "GET")], &[(0.5, 1), (1.0, 2)], 2.5, 3);
        let expected = "# HELP a_total As.\n# TYPE a_total counter\na_total 3\n\
            # HELP b Bs.\n# TYPE b gauge\nb{x=\"q\\\"\\\\\\n\",y=\"1\"} +Inf\n\
            # HELP none No sample, no line.\n# TYPE none gauge\n\
            # HELP h Hs.\n# TYPE h histogram\nh_bucket{m=\"GET\",le=\"0.5\"} 1\nh_bucket{m=\"GET\",le=\"1\"} 2\n\
            h_bucket{m=\"GET\",le=\"+Inf\"} 3\nh_sum{m=\"GET\"} 2.5\nh_count{m=\"GET\"} 3\n";
        assert_eq!(page.to_text(), expected);
    }
}

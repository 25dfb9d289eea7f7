//! The envelope of every answer: `{"status":"success","data":...,"warnings":[...],"infos":[...]}`.

use super::Failure;
use super::json::push_text_html;

/// A whole answer; who sends it adds nothing but the head.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ApiAnswer {
    /// HTTP's.
    pub status: u16,
    pub content_type: &'static str,
    pub body: Vec<u8>,
}

pub(super) const JSON: &str = "application/json";

/// Warnings, and infos, that one answer shows.
const NOTES_MAX: usize = 10;

/// The body of a successful answer while it is written.
pub(super) struct Body {
    pub out: Vec<u8>,
    bytes_max: usize,
}

impl Body {
    /// What follows is the value of `data`.
    pub fn success(bytes_max: usize) -> Self {
        Self { out: b"{\"status\":\"success\",\"data\":".to_vec(), bytes_max }
    }

    /// To be asked after each element: a bound on the answer, within an element.
    pub fn check(&self) -> Result<(), Failure> {
        if self.out.len() <= self.bytes_max {
            return Ok(());
        }
        let max = self.bytes_max;
        Err(Failure::execution(format!("the answer has more than {max} bytes; select fewer series or a shorter range")))
    }

    /// `data` is complete.
    pub fn finish(mut self, warnings: &[String], infos: &[String]) -> ApiAnswer {
        push_notes(&mut self.out, "warnings", "warning", warnings);
        push_notes(&mut self.out, "infos", "info", infos);
        self.out.push(b'}');
        ApiAnswer { status: 200, content_type: JSON, body: self.out }
    }
}

fn push_notes(out: &mut Vec<u8>, field: &str, kind: &str, notes: &[String]) {
    if notes.is_empty() {
        return;
    }
    out.extend_from_slice(format!(",\"{field}\":[").as_bytes());
    for (index, note) in notes.iter().take(NOTES_MAX).enumerate() {
        if index > 0 {
            out.push(b',');
        }
        push_text_html(out, note);
    }
    if notes.len() > NOTES_MAX {
        let omitted = notes.len() - NOTES_MAX;
        out.extend_from_slice(format!(",\"{omitted} more {kind} annotations omitted\"").as_bytes());
    }
    out.push(b']');
}

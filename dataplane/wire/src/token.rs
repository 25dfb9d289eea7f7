//! Tokens that choose a partition: FNV-1 32 (multiply, then XOR) over tenant and labels, without separators.
//! Source of the rule: Mimir's sharding; vectors in the tests were printed by a real Mimir.

use model::CanonicalLabels;

const BASIS: u32 = 2_166_136_261;
const PRIME: u32 = 16_777_619;

/// The token of a series.
#[must_use]
pub fn series_token(tenant: &str, canonical_labels: &[u8]) -> u32 {
    CanonicalLabels::new(canonical_labels).fold(add(BASIS, tenant), |token, (name, value)| add(add(token, name), value))
}

/// The token of a metric family's metadata.
#[must_use]
pub fn metadata_token(tenant: &str, family: &str) -> u32 {
    add(add(BASIS, tenant), family)
}

fn add(token: u32, text: &str) -> u32 {
    text.bytes().fold(token, |token, byte| token.wrapping_mul(PRIME) ^ u32::from(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_those_of_mimir() {
        #[track_caller]
        fn check(tenant: &str, labels: &[(&str, &str)], expected: u32) {
            let mut canonical = Vec::new();
            model::encode_labels(labels.iter().copied(), &mut canonical);
            assert_eq!(series_token(tenant, &canonical), expected, "{tenant} {labels:?}");
        }
        check("user-1", &[], 3_956_040_770);
        check("user-1", &[("__name__", "up"), ("job", "x")], 4_177_082_779);
        let http = [("__name__", "http_requests_total"), ("instance", "a:9090"), ("job", "api")];
        check("tenant-a", &http, 1_702_105_791);
        assert_eq!(metadata_token("user-1", "up"), 1_612_714_009);
    }
}

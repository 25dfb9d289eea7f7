//! The symbol table of record version 2: 36 fixed strings, then the request's own from reference 64 on.
//! Source: Mimir's record format 2.

use crate::fields::Malformed;

/// References below this one name fixed strings.
const OWN_FIRST: u32 = 64;

#[rustfmt::skip]
const FIXED: [&str; 36] = [
    "", "__name__", "__aggregation__", "<aggregated>", "le", "component", "cortex_request_duration_seconds_bucket",
    "storage_operation_duration_seconds_bucket", "grafana", "asserts_env", "asserts_request_context", "asserts_source",
    "asserts_entity_type", "asserts_request_type", "name", "image", "cluster", "namespace", "pod", "job", "instance",
    "container", "replicaset", "interface", "status_code", "resource", "operation", "method", "kube-system",
    "kube-system/cadvisor", "node-exporter", "node-exporter/node-exporter", "kube-system/kubelet",
    "kube-system/node-local-dns", "kube-state-metrics/kube-state-metrics", "default/kubernetes",
];

/// The text of a reference; `own` are the symbols of the request in their order.
pub fn resolve<'a>(reference: u32, own: &[&'a [u8]]) -> Result<&'a [u8], Malformed> {
    const UNKNOWN: Malformed = Malformed("a symbol reference beyond the table");
    if reference < OWN_FIRST {
        return FIXED.get(reference as usize).map(|text| text.as_bytes()).ok_or(UNKNOWN);
    }
    own.get((reference - OWN_FIRST) as usize).copied().ok_or(UNKNOWN)
}

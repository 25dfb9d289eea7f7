//! What comes with a request, and what all requests have in common.

use model::TenantId;
use promql::EngineOptions;

use super::Params;
use crate::{ReadLimits, Watch};

/// One request.
#[derive(Clone, Copy, Debug)]
pub struct ApiCall<'a> {
    /// The path below `/api/v1/` as it was sent: `query`, `label/job/values`. Percent-encoding is resolved here.
    pub endpoint: &'a str,
    pub params: &'a Params,
    pub tenant: &'a TenantId,
    /// Where a query names no time.
    pub now_ms: i64,
    pub watch: &'a Watch,
    /// What whoever reads the answer should know about its data, such as that the newest samples may be missing.
    pub warnings: &'a [String],
}

/// Limits and facts for all requests.
#[derive(Clone, Debug)]
pub struct ApiOptions {
    pub engine: EngineOptions,
    pub read: ReadLimits,
    /// Longest body of an answer.
    pub answer_bytes_max: usize,
    pub build: BuildInfo,
}

impl Default for ApiOptions {
    fn default() -> Self {
        Self {
            engine: EngineOptions::default(),
            read: ReadLimits::default(),
            answer_bytes_max: 256 << 20,
            build: BuildInfo::default(),
        }
    }
}

/// What `status/buildinfo` says.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct BuildInfo {
    pub version: String,
    pub revision: String,
    pub branch: String,
    pub build_user: String,
    pub build_date: String,
    pub go_version: String,
}

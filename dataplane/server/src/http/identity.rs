//! Who a request belongs to.

use hyper::StatusCode;
use hyper::header::HeaderMap;
use model::TenantId;

use super::answer::{Answer, text};
use crate::config::IdentityMode;

const TENANT_HEADER: &str = "x-scope-orgid";

/// The tenant of a request, or the answer that refuses it: 401 without a header, 400 with a bad one.
pub fn tenant_of(mode: IdentityMode, headers: &HeaderMap) -> Result<TenantId, Box<Answer>> {
    if mode == IdentityMode::Anonymous {
        return Ok(TenantId::anonymous());
    }
    let Some(value) = headers.get(TENANT_HEADER) else {
        return Err(Box::new(text(StatusCode::UNAUTHORIZED, "no org id: send the tenant in the header X-Scope-OrgID")));
    };
    let tenant = value.to_str().map_err(|_| "the header X-Scope-OrgID is not plain text".to_owned());
    let tenant = tenant.and_then(|tenant| TenantId::new(tenant).map_err(|error| error.to_string()));
    tenant.map_err(|reason| Box::new(text(StatusCode::BAD_REQUEST, &reason)))
}

//! How large a request may be; every bound of the protocol core in one place.

use super::{Attribute, ResourceType};

/// Nesting of a JSON body.
pub const MAX_DEPTH: usize = 32;
/// Keys of a JSON body, over all its objects.
pub const MAX_KEYS: usize = 2_000;
/// Keys of a JSON body that may hold [`MAX_MEMBERS`] members.
pub const MAX_KEYS_WITH_MEMBERS: usize = MAX_KEYS + 5 * MAX_MEMBERS;
/// Characters of a text.
pub const MAX_TEXT: usize = 1_024;
/// Characters of `userName` and of an e-mail address (RFC 5321 §4.5.3.1.3).
pub const MAX_ADDRESS: usize = 254;
/// Characters of a Base64 value such as a certificate.
pub const MAX_BINARY: usize = 16_384;
/// Values of a multi-valued attribute.
pub const MAX_VALUES: usize = 100;
/// Members in one request.
pub const MAX_MEMBERS: usize = 10_000;
/// Operations of a PATCH on a resource without members.
pub const MAX_OPERATIONS: usize = 100;
/// Operations of a PATCH on a resource with members.
pub const MAX_OPERATIONS_WITH_MEMBERS: usize = 1_000;
/// Bytes of a filter or of a path.
pub const MAX_FILTER_BYTES: usize = 4_096;
/// Comparisons in a filter.
pub const MAX_FILTER_TERMS: usize = 50;
/// Nesting of parentheses and brackets in a filter.
pub const MAX_FILTER_DEPTH: usize = 10;
/// Names in `attributes` or `excludedAttributes`.
pub const MAX_NAMES: usize = 500;
/// Resources that one request has looked at one by one, where the database can decide neither filter nor order; also how
/// far `startIndex` goes in a list of several types.
pub const MAX_EXAMINED: usize = 1_000;
/// Comparisons of one filter that the database makes on every resource; a filter with more is evaluated on the resources
/// one by one ([`MAX_EXAMINED`]).
pub const MAX_SCANS: usize = 3;
/// Bytes of a cursor: room for a text of [`MAX_TEXT`] characters as a sort key, all of them escaped.
pub const MAX_CURSOR_BYTES: usize = 16_384;
/// Bytes of the body of a request.
pub const MAX_BODY_BYTES: usize = 1_048_576;
/// Operations of a bulk request; it has no more bytes than any other ([`MAX_BODY_BYTES`]).
pub const MAX_BULK_OPERATIONS: usize = 1_000;

/// Whether `attribute` is a member list, which may be far longer than others.
pub fn is_members(attribute: &Attribute) -> bool {
    attribute.multi_valued && attribute.name == "members"
}

/// Keys that a body for `resource_type` may have.
pub fn max_keys(resource_type: &ResourceType) -> usize {
    if resource_type.attributes().any(is_members) { MAX_KEYS_WITH_MEMBERS } else { MAX_KEYS }
}

/// Operations that a PATCH on `resource_type` may have.
pub fn max_operations(resource_type: &ResourceType) -> usize {
    if resource_type.attributes().any(is_members) { MAX_OPERATIONS_WITH_MEMBERS } else { MAX_OPERATIONS }
}

/// Values that one request may give for `attribute`.
pub fn max_values(attribute: &Attribute) -> usize {
    if is_members(attribute) { MAX_MEMBERS } else { MAX_VALUES }
}

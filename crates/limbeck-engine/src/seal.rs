//! A JSON object with a checksum of its own text in it: what is kept of a run must not change unseen.

const MEMBER: &str = ",\"crc32\":\"";
const END: &str = "\"}";

/// Adds the checksum of an object, which has a member, as its last one.
pub fn seal(object: &str) -> String {
    let members = object.strip_suffix('}').unwrap_or(object);
    let sum = crc32fast::hash(object.as_bytes());
    format!("{members}{MEMBER}{sum:08x}{END}")
}

/// The object as it was before it was sealed; none if any byte has changed since.
pub fn unseal(sealed: &[u8]) -> Option<String> {
    let sealed = std::str::from_utf8(sealed).ok()?;
    let (members, sum) = sealed.strip_suffix(END)?.rsplit_once(MEMBER)?;
    let object = format!("{members}}}");
    (format!("{:08x}", crc32fast::hash(object.as_bytes())) == sum).then_some(object)
}

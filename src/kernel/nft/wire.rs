//! An element's key as canonical text, and as nft writes it in JSON.

use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::{Value, json};
use smol_str::{SmolStr, ToSmolStr};

use crate::resource::nft::NftElement;
use crate::resource::nft_set::{Field, SetSpec};
use crate::resource::owner::Owner;

/// The longest comment of an element: `NFTNL_UDATA_COMMENT_MAXLEN` in `libnftnl/udata.h`, 128 with the final zero.
const COMMENT_LIMIT: usize = 127;

/// Returns an element as nft takes it, with its owner as comment, so that ownership outlives all files.
pub(super) fn encode(spec: &SetSpec, element: &NftElement, owner: &Owner) -> Value {
    let mut key = encode_key(spec, &element.key);
    let owner = owner.to_string();
    if owner.len() <= COMMENT_LIMIT {
        key = json!({"elem": {"val": key, "comment": owner}});
    }
    match (spec.data, &element.data) {
        (Some(field), Some(data)) => json!([key, encode_part(field, data)]),
        (Some(_) | None, _) => key,
    }
}

/// Returns what to delete an element by: of a map's elements, nft wants no more than the key.
pub(super) fn encode_key(spec: &SetSpec, key: &[SmolStr]) -> Value {
    let mut parts: Vec<Value> =
        spec.key.iter().zip(key).map(|(field, part)| encode_part(*field, part)).collect();
    match (parts.pop(), parts.is_empty()) {
        (Some(only), true) => only,
        (Some(last), false) => {
            parts.push(last);
            json!({"concat": parts})
        }
        (None, _) => Value::Null,
    }
}

fn encode_part(field: Field, text: &str) -> Value {
    match field {
        Field::Link | Field::Protocol => json!(text),
        Field::Port => match text.split_once('-') {
            Some((first, last)) => json!({"range": [port(first), port(last)]}),
            None => port(text),
        },
        Field::Ipv4 | Field::Ipv6 => match (text.split_once('/'), text.split_once('-')) {
            (Some((addr, len)), _) => json!({"prefix": {"addr": addr, "len": port(len)}}),
            (None, Some((first, last))) => json!({"range": [first, last]}),
            (None, None) => json!(text),
        },
    }
}

fn port(text: &str) -> Value {
    text.parse::<u16>().map_or_else(|_| json!(text), |number| json!(number))
}

/// An element as nft prints it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Decoded {
    pub(super) key: Vec<SmolStr>,
    pub(super) data: Option<SmolStr>,
    pub(super) comment: Option<SmolStr>,
}

/// Returns an element's key, data and comment; `None` when it is not of the set's form.
pub(super) fn decode(spec: &SetSpec, printed: &Value) -> Option<Decoded> {
    let (key, data) = match (spec.data, printed) {
        (Some(field), Value::Array(pair)) => match pair.as_slice() {
            [key, data] => (key, Some(decode_part(field, data)?)),
            _ => return None,
        },
        (None, key) => (key, None),
        (Some(_), _) => return None,
    };
    let (key, comment) = match key.get("elem") {
        Some(elem) => (elem.get("val")?, elem.get("comment").and_then(Value::as_str).map(SmolStr::from)),
        None => (key, None),
    };
    let parts = match key.get("concat").and_then(Value::as_array) {
        Some(parts) => parts.iter().collect(),
        None => vec![key],
    };
    if parts.len() != spec.key.len() {
        return None;
    }
    let key = spec.key.iter().zip(parts).map(|(field, part)| decode_part(*field, part));
    Some(Decoded { key: key.collect::<Option<_>>()?, data, comment })
}

fn decode_part(field: Field, printed: &Value) -> Option<SmolStr> {
    if let Some(range) = printed.get("range").and_then(Value::as_array) {
        let ends: Option<Vec<SmolStr>> = range.iter().map(|end| decode_part(field, end)).collect();
        return ends.map(|ends| ends.join("-").into());
    }
    let number = printed.as_u64();
    match field {
        Field::Link => printed.as_str().map(SmolStr::from),
        Field::Port => u16::try_from(number?).ok().map(|port| port.to_smolstr()),
        // nft prints numbers where `/etc/protocols` is missing. Source: IANA's registry of protocol numbers.
        Field::Protocol => match number {
            Some(6) => Some(SmolStr::new_static("tcp")),
            Some(17) => Some(SmolStr::new_static("udp")),
            Some(132) => Some(SmolStr::new_static("sctp")),
            Some(other) => Some(other.to_smolstr()),
            None => printed.as_str().map(SmolStr::from),
        },
        Field::Ipv4 | Field::Ipv6 => match printed.get("prefix") {
            Some(prefix) => {
                let addr: IpAddr = prefix.get("addr")?.as_str()?.parse().ok()?;
                let len = u8::try_from(prefix.get("len")?.as_u64()?).ok()?;
                IpNet::new(addr, len).ok().map(|net| net.to_smolstr())
            }
            None => printed.as_str()?.parse::<IpAddr>().ok().map(|addr| addr.to_smolstr()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::nft::{NftFamily, NftTableId};
    use crate::resource::nft_set;

    #[track_caller]
    fn check(set: &str, key: &[&str], data: Option<&str>, want: &str) {
        let spec = nft_set::find(NftFamily::Inet, set).unwrap();
        let element = NftElement {
            table: NftTableId { family: NftFamily::Inet, name: "netform-shop".into() },
            set: set.into(),
            key: key.iter().map(ToSmolStr::to_smolstr).collect(),
            data: data.map(SmolStr::from),
            stance: spec.stance,
        };

        let encoded = encode(spec, &element, &Owner::Project);

        assert_eq!(encoded.to_string(), want);
        let comment = Some("project".into());
        assert_eq!(decode(spec, &encoded), Some(Decoded { key: element.key, data: element.data, comment }));
    }

    #[test]
    fn an_element_is_written_as_nft_takes_it_and_read_back_the_same() {
        let val = |val: &str| format!(r#"{{"elem":{{"comment":"project","val":{val}}}}}"#);
        check("bridges", &["8080-1"], None, &val(r#""8080-1""#));
        check("masquerade4", &["10.7.0.0/24"], None, &val(r#"{"prefix":{"addr":"10.7.0.0","len":24}}"#));
        check("masquerade6", &["fd00::7"], None, &val(r#""fd00::7""#));
        let port = val(r#"{"concat":["tcp",8080]}"#);
        check("any_addr4", &["tcp", "8080"], Some("10.7.0.3"), &format!(r#"[{port},"10.7.0.3"]"#));
        check("any_port4", &["tcp", "8080"], Some("80"), &format!("[{port},80]"));
        check("guard_any", &["udp", "9000-9010"], None, &val(r#"{"concat":["udp",{"range":[9000,9010]}]}"#));
    }

    #[test]
    fn a_protocol_printed_as_a_number_is_the_same_protocol() {
        let spec = nft_set::find(NftFamily::Inet, "guard_any").unwrap();

        let decoded = decode(spec, &json!({"concat": [132, 99]})).unwrap();

        assert_eq!(decoded.key, ["sctp", "99"]);
    }
}

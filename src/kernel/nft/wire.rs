//! An element's key as canonical text, and as nft takes it in JSON.

use serde_json::{Value, json};
use smol_str::SmolStr;

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::nft::{NftFamily, NftTableId};
    use crate::resource::nft_set;
    use smol_str::ToSmolStr;

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
    }

    #[test]
    fn an_element_is_written_as_nft_takes_it() {
        let val = |val: &str| format!(r#"{{"elem":{{"comment":"project","val":{val}}}}}"#);
        check("bridges", &["8080-1"], None, &val(r#""8080-1""#));
        check("masquerade4", &["10.7.0.0/24"], None, &val(r#"{"prefix":{"addr":"10.7.0.0","len":24}}"#));
        check("masquerade6", &["fd00::7"], None, &val(r#""fd00::7""#));
        let port = val(r#"{"concat":["tcp",8080]}"#);
        check("any_addr4", &["tcp", "8080"], Some("10.7.0.3"), &format!(r#"[{port},"10.7.0.3"]"#));
        check("any_port4", &["tcp", "8080"], Some("80"), &format!("[{port},80]"));
        check("guard_any", &["udp", "9000-9010"], None, &val(r#"{"concat":["udp",{"range":[9000,9010]}]}"#));
    }
}

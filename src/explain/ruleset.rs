//! What `nft -a list ruleset` prints, as values.

/// A table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Table {
    /// Its family: `inet`.
    pub family: String,
    /// Its name.
    pub name: String,
    /// Its chains.
    pub chains: Vec<Chain>,
    /// Its sets and maps.
    pub sets: Vec<Set>,
}

/// A chain.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Chain {
    /// Its name.
    pub name: String,
    /// Where packets come to it: `type filter hook forward priority filter; policy accept;`.
    pub hook: Option<String>,
    /// Its rules: their handles and texts.
    pub rules: Vec<(u64, String)>,
}

/// A set or a map.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Set {
    /// Its name.
    pub name: String,
    /// Whether it is a map.
    pub is_map: bool,
    /// Its elements.
    pub elements: Vec<Element>,
}

/// An element of a set or a map.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Element {
    /// Its key: `tcp . 8080`.
    pub key: String,
    /// What the map holds.
    pub data: Option<String>,
    /// What its owner wrote beside it.
    pub comment: Option<String>,
}

/// What a line is in.
enum In {
    Nothing,
    Chain,
    Set,
    Elements(String),
}

/// Reads a ruleset; what is neither a table, a chain, a rule nor a set is passed over.
pub fn parse(text: &str) -> Vec<Table> {
    let mut tables: Vec<Table> = vec![];
    let mut inside = In::Nothing;
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match (line.starts_with("table "), words.as_slice()) {
            (true, ["table", family, name, ..]) => {
                tables.push(Table {
                    family: (*family).to_owned(),
                    name: (*name).to_owned(),
                    ..Table::default()
                });
                inside = In::Nothing;
            }
            _ => {
                if let Some(table) = tables.last_mut() {
                    inside = read(table, inside, (line, &words));
                }
            }
        }
    }
    tables
}

fn read(table: &mut Table, inside: In, (line, words): (&str, &[&str])) -> In {
    match (inside, words) {
        (In::Nothing, ["chain", name, "{", ..]) => {
            table.chains.push(Chain { name: (*name).to_owned(), ..Chain::default() });
            In::Chain
        }
        (In::Nothing, [kind @ ("set" | "map"), name, "{", ..]) => {
            table.sets.push(Set { name: (*name).to_owned(), is_map: *kind == "map", elements: vec![] });
            In::Set
        }
        (In::Chain | In::Set, ["}"]) => In::Nothing,
        (In::Chain, ["type", ..]) => {
            if let Some(chain) = table.chains.last_mut() {
                chain.hook = Some(line.trim().to_owned());
            }
            In::Chain
        }
        (In::Chain, _) => {
            let rule = line.trim().rsplit_once(" # handle ");
            let rule = rule.and_then(|(text, handle)| Some((handle.parse().ok()?, text.to_owned())));
            if let Some(chain) = table.chains.last_mut() {
                chain.rules.extend(rule);
            }
            In::Chain
        }
        (In::Set, ["elements", "=", "{", ..]) => {
            let begun = line.split_once('{').map_or("", |(_, rest)| rest);
            go_on(table, begun.trim().to_owned())
        }
        (In::Elements(begun), _) => go_on(table, format!("{begun} {}", line.trim())),
        (In::Set, _) => In::Set,
        (In::Nothing, _) => In::Nothing,
    }
}

/// Goes on with elements, which may take many lines.
fn go_on(table: &mut Table, text: String) -> In {
    let Some(all) = text.strip_suffix('}') else { return In::Elements(text) };
    if let Some(set) = table.sets.last_mut() {
        set.elements = outside_quotes(all, ",").into_iter().map(element).collect();
    }
    In::Set
}

fn element(text: &str) -> Element {
    let parts = outside_quotes(text.trim(), " : ");
    let (of_key, data) = (parts.first().copied().unwrap_or_default(), parts.get(1));
    // Everything else that may stand behind a key begins with one of these words.
    let ends = [" comment ", " timeout ", " expires ", " counter ", " limit ", " quota "];
    let end = ends.iter().filter_map(|word| of_key.find(word)).min().unwrap_or(of_key.len());
    let comment = of_key.split_once(" comment \"").and_then(|(_, rest)| rest.split('"').next());
    Element {
        key: of_key.get(..end).unwrap_or_default().replace('"', ""),
        data: data.map(|data| data.trim().to_owned()),
        comment: comment.map(str::to_owned),
    }
}

/// Splits a text where nobody quotes.
fn outside_quotes<'t>(text: &'t str, at: &str) -> Vec<&'t str> {
    let (mut parts, mut from, mut quoted) = (vec![], 0, false);
    for (here, c) in text.char_indices() {
        if c == '"' {
            quoted = !quoted;
        }
        if !quoted && here >= from && text.get(here..).is_some_and(|rest| rest.starts_with(at)) {
            parts.push(text.get(from..here).unwrap_or_default());
            from = here + at.len();
        }
    }
    parts.push(text.get(from..).unwrap_or_default());
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nft_prints_is_read() {
        let text = "table inet netform-shop { # handle 2\n\
            \tset bridges { # handle 1\n\t\ttype ifname\n\t\telements = { \"br-back\" comment \"network.back\",\n\
            \t\t\t     \"br-front\" comment \"network.front, the first\" }\n\t}\n\n\
            \tmap any_addr4 { # handle 16\n\t\ttype inet_proto . inet_service : ipv4_addr\n\
            \t\telements = { tcp . 8080 comment \"port.0.0.0.0:8080/tcp\" : 172.25.3.3 }\n\t}\n\n\
            \tchain forward { # handle 40\n\t\ttype filter hook forward priority filter; policy accept;\n\
            \t\tiifname @bridges accept # handle 41\n\t}\n}\n";

        let tables = parse(text);

        let [table] = tables.as_slice() else { panic!("one table: {tables:?}") };
        assert_eq!((table.family.as_str(), table.name.as_str()), ("inet", "netform-shop"));
        let elements: Vec<_> = table.sets.iter().flat_map(|set| &set.elements).collect();
        let keys: Vec<_> = elements
            .iter()
            .map(|element| (element.key.as_str(), element.comment.as_deref().unwrap()))
            .collect();
        let want = [
            ("br-back", "network.back"),
            ("br-front", "network.front, the first"),
            ("tcp . 8080", "port.0.0.0.0:8080/tcp"),
        ];
        assert_eq!(keys, want);
        assert_eq!(elements[2].data.as_deref(), Some("172.25.3.3"));
        assert_eq!(table.chains[0].rules, [(41, "iifname @bridges accept".to_owned())]);
        assert!(table.chains[0].hook.as_ref().unwrap().contains("hook forward"));
    }
}
